/* Patterns for names: * ? [a-z] [!a-z] and \ before a character that stands for itself. */
#ifndef FNMATCH_H
#define FNMATCH_H

#define FNM_NOMATCH 1
#define FNM_NOESCAPE 2 /* a backslash is a character like others */
#define FNM_PATHNAME 1 /* a slash is matched by a slash only */
#define FNM_PERIOD 4   /* and so is a dot at the beginning */

int fnmatch(const char *pattern, const char *text, int flags);

#endif
