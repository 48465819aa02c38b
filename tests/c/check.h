/* Checks that do not disappear with NDEBUG. A failed one names itself and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#define _POSIX_C_SOURCE 200809L

#include <aliot.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) \
            check_failed(__FILE__, __LINE__, #condition); \
    } while (0)

#define CHECK_OK(call) check_result(__FILE__, __LINE__, #call, call, ALIOT_RESULT_OK)

/* The call must fail with this result and leave a sentence that contains the text. */
#define CHECK_FAILS(call, result, text) \
    do { \
        check_result(__FILE__, __LINE__, #call, call, result); \
        check_last_error(__FILE__, __LINE__, #call, text); \
    } while (0)

/* True within ten seconds, of which valgrind makes more. What was true once need not stay so: it is
 * asked once a round. */
#define CHECK_EVENTUALLY(condition) \
    do { \
        for (int check_rounds = 0; !(condition); check_rounds++) { \
            if (check_rounds == 10000) \
                check_failed(__FILE__, __LINE__, "in time: " #condition); \
            check_sleep_ms(1); \
        } \
    } while (0)

/* Runs a test and says so. */
#define RUN(test) \
    do { \
        printf("%s\n", #test); \
        fflush(stdout); \
        test(); \
    } while (0)

/* `make deep-faults` sets it. */
static inline bool check_is_long(void)
{
    return getenv("ALIOT_LONG") != NULL;
}

/* How often the test injected its fault, for tests/faults/README.md to be compared with. */
#define RAN(times) printf("ran: %s %d\n", __func__, (int)(times))

static inline void check_failed(const char *file, int line, const char *what)
{
    char text[512];
    aliot_last_error(text, sizeof text);
    fprintf(stderr, "%s:%d: not true: %s\n    last error: %s\n", file, line, what, text);
    exit(1);
}

static inline void check_result(const char *file, int line, const char *call, aliot_result got,
                                aliot_result wanted)
{
    if (got != wanted) {
        fprintf(stderr, "got %s, wanted %s\n", aliot_result_name(got), aliot_result_name(wanted));
        check_failed(file, line, call);
    }
}

static inline void check_last_error(const char *file, int line, const char *call, const char *part)
{
    char text[512];
    aliot_last_error(text, sizeof text);
    if (strstr(text, part) == NULL) {
        fprintf(stderr, "the last error does not say \"%s\"\n", part);
        check_failed(file, line, call);
    }
}

static inline void check_sleep_ms(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

#endif
