/* From seconds since 1970 to dates, and to words. UTC only, without leap seconds. */

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Years are counted from March, so that the day that leap years add comes last. Four hundred
 * years have 146,097 days. (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms") */
struct tm *gmtime_r(const time_t *moment, struct tm *out) {
    long days = *moment / 86400, rest = *moment % 86400;
    if (rest < 0) days--, rest += 86400;
    long shifted = days + 719468; /* since 1 March of year 0 */
    long era = (shifted >= 0 ? shifted : shifted - 146096) / 146097,
         in_era = shifted - era * 146097;
    long year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    long in_year = in_era - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;
    long full = year + era * 400 + (month >= 10);
    int leap = (full % 4 == 0 && full % 100 != 0) || full % 400 == 0;
    *out = (struct tm){
        .tm_sec = (int)(rest % 60),
        .tm_min = (int)(rest / 60 % 60),
        .tm_hour = (int)(rest / 3600),
        .tm_mday = (int)(in_year - (153 * month + 2) / 5 + 1),
        .tm_mon = (int)((month + 2) % 12),
        .tm_year = (int)(full - 1900),
        .tm_wday = (int)((days % 7 + 11) % 7), /* 1 January 1970 was a Thursday */
        .tm_yday = (int)(month >= 10 ? in_year - 306 : in_year + 59 + leap),
    };
    return out;
}

static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* Some conversions stand for others. */
static const char *meaning(char letter) {
    switch (letter) {
    case 'F': return "%Y-%m-%d";
    case 'T': return "%H:%M:%S";
    case 'D': return "%m/%d/%y";
    case 'R': return "%H:%M";
    case 'c': return "%a %b %e %H:%M:%S %Y";
    default: return NULL;
    }
}

static void convert(char *out, size_t size, char letter, const struct tm *at) {
    int twelve = at->tm_hour % 12 ? at->tm_hour % 12 : 12;
    switch (letter) {
    case 'Y': snprintf(out, size, "%d", at->tm_year + 1900); break;
    case 'y': snprintf(out, size, "%02d", at->tm_year % 100); break;
    case 'm': snprintf(out, size, "%02d", at->tm_mon + 1); break;
    case 'd': snprintf(out, size, "%02d", at->tm_mday); break;
    case 'e': snprintf(out, size, "%2d", at->tm_mday); break;
    case 'H': snprintf(out, size, "%02d", at->tm_hour); break;
    case 'I': snprintf(out, size, "%02d", twelve); break;
    case 'M': snprintf(out, size, "%02d", at->tm_min); break;
    case 'S': snprintf(out, size, "%02d", at->tm_sec); break;
    case 'j': snprintf(out, size, "%03d", at->tm_yday + 1); break;
    case 'a': snprintf(out, size, "%.3s", DAYS[at->tm_wday]); break;
    case 'A': snprintf(out, size, "%s", DAYS[at->tm_wday]); break;
    case 'b':
    case 'h': snprintf(out, size, "%.3s", MONTHS[at->tm_mon]); break;
    case 'B': snprintf(out, size, "%s", MONTHS[at->tm_mon]); break;
    case 'p': snprintf(out, size, "%s", at->tm_hour < 12 ? "AM" : "PM"); break;
    case 'Z': snprintf(out, size, "UTC"); break;
    case 'z': snprintf(out, size, "+0000"); break;
    case 'n': snprintf(out, size, "\n"); break;
    case 't': snprintf(out, size, "\t"); break;
    default: snprintf(out, size, "%c", letter); break;
    }
}

size_t strftime(char *out, size_t size, const char *format, const struct tm *at) {
    size_t length = 0;
    for (; *format && length < size; format++) {
        char piece[64] = {*format};
        if (*format == '%' && format[1]) {
            const char *longer = meaning(*++format);
            if (longer)
                strftime(piece, sizeof piece, longer, at);
            else
                convert(piece, sizeof piece, *format, at);
        }
        length += strlcpy(out + length, piece, size - length);
    }
    if (length < size) out[length] = '\0';
    return length < size ? length : 0;
}
