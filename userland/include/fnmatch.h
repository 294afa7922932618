/* Patterns for names: * ? [a-z] [!a-z] and \ before a character that stands for itself. */
#ifndef FNMATCH_H
#define FNMATCH_H

#define FNM_NOMATCH 1
#define FNM_NOESCAPE 2 /* a backslash is a plain character */
#define FNM_PATHNAME 1 /* only a slash matches a slash */
#define FNM_PERIOD 4   /* only a dot matches a leading dot */

int fnmatch(const char *pattern, const char *text, int flags);

#endif
