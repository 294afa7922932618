/* Reading a program's options. */
#ifndef GETOPT_H
#define GETOPT_H

/* One option after another: its letter, '?' for a wrong one (a complaint has been printed), or
 * -1 at the first word that is none, which is argv[optind]. A ':' behind a letter of `known`
 * means that it takes an argument, which optarg then points at. */
int getopt(int argc, char *const argv[], const char *known);
extern char *optarg;
extern int optind, optopt;

#endif
