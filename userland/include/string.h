/* Bytes and strings. */
#ifndef STRING_H
#define STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *memory, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
void *memchr(const void *memory, int byte, size_t bytes);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t limit);
char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t size);
char *strcat(char *restrict to, const char *restrict from);
size_t strlcpy(char *restrict to, const char *restrict from, size_t size);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t limit);
char *strchr(const char *text, int c);
char *strrchr(const char *text, int c);
char *strstr(const char *text, const char *part);
size_t strspn(const char *text, const char *set);
size_t strcspn(const char *text, const char *set);
char *strtok_r(char *restrict text, const char *restrict separators, char **restrict rest);
char *strtok(char *restrict text, const char *restrict separators);
char *strpbrk(const char *text, const char *set);
char *strsep(char **rest, const char *separators);
char *stpcpy(char *restrict to, const char *restrict from);
int strcasecmp(const char *a, const char *b);
char *strdup(const char *text);
char *strndup(const char *text, size_t limit);

char *strerror(int error);
const char *sigdescr_np(int signal);  /* "Terminated" for SIGTERM; NULL likewise */
const char *sigabbrev_np(int signal); /* "SEGV" for SIGSEGV; NULL for an unknown number */

#endif
