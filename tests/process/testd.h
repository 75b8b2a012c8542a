#ifndef TESTS_PROCESS_TESTD_H
#define TESTS_PROCESS_TESTD_H

#define TESTD_CONFIG_MAX 4096 /* bytes, as testd says when there are more */

int testd_main(int argc, char **argv);

#endif
