/* Reading a program's options. */
#ifndef GETOPT_H
#define GETOPT_H

/* The next option: its letter, '?' for a wrong one (getopt has printed a message), or -1 at the
 * first word that is no option, which is argv[optind]. A ':' behind a letter of `known` means
 * that the option takes an argument. optarg then points at the argument. */
int getopt(int argc, char *const argv[], const char *known);
extern char *optarg;
extern int optind, optopt;

#endif
