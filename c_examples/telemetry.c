/*
 * Reports a temperature at a fixed interval, through every loss of the network.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./telemetry [COUNT [INTERVAL_MS]]
 *
 * Without COUNT, until Ctrl-C or SIGTERM; a second one does not wait for what is under way.
 * INTERVAL_MS is 1000 by default: at QoS 1 the platform takes ten messages a second from a device.
 * example.h lists what else the environment may say.
 */

#define _POSIX_C_SOURCE 200809L

#include "example.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum {
    FLUSH_TIMEOUT_MS = 20000,
    DRAIN_TIMEOUT_MS = 2000,
    STOP_TIMEOUT_MS = 5000,
    MAX_INTERVAL_MS = 86400000
};

/* Written by the library's callback thread. */
typedef struct tally {
    atomic_ulong acknowledged;
    atomic_ulong lost;
} tally;

/* Runs once for each reading that aliot_client_publish accepted. */
static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    tally *readings = userdata;
    (void)client;
    if (completion->result == ALIOT_RESULT_OK) {
        atomic_fetch_add(&readings->acknowledged, 1);
    } else {
        atomic_fetch_add(&readings->lost, 1);
        printf("reading %llu: %s\n", (unsigned long long)completion->token, completion->text);
    }
}

/* SIGINT and SIGTERM, held back so that one that comes between two waits is not lost: the library's
 * threads take no signals. */
static bool hold_signals(sigset_t *signals)
{
    return sigemptyset(signals) == 0 && sigaddset(signals, SIGINT) == 0 &&
           sigaddset(signals, SIGTERM) == 0 && pthread_sigmask(SIG_BLOCK, signals, NULL) == 0;
}

/* Waits, whatever becomes of the clock meanwhile, and says whether one of them ended it. */
static bool signal_within(const sigset_t *signals, unsigned long ms)
{
    struct timespec interval = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    return sigtimedwait(signals, NULL, &interval) > 0;
}

static int report(aliot_client *client, const char *topic, const sigset_t *signals,
                  unsigned long count, unsigned long interval_ms)
{
    bool leaving = false;

    for (unsigned long i = 0; i < count && !leaving; i++) {
        char payload[64];
        unsigned long tenths = 200 + i % 100;
        int len = snprintf(payload, sizeof payload, "{\"temperature\": %lu.%lu}", tenths / 10,
                           tenths % 10);
        aliot_result result = aliot_client_publish(client, topic, payload, (size_t)len,
                                                   ALIOT_QOS_AT_LEAST_ONCE, NULL);
        if (result == ALIOT_RESULT_OUTBOX_FULL) {
            puts("the network has been away for too long: this reading is skipped");
        } else if (result != ALIOT_RESULT_OK) {
            return fail("publish");
        }
        leaving = signal_within(signals, i + 1 < count ? interval_ms : 0);
    }
    /* From here on a signal ends the program at once. */
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    if (aliot_client_wait_flushed(client, FLUSH_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("deliver every reading");
    }
    if (aliot_client_stop(client, DRAIN_TIMEOUT_MS) != ALIOT_RESULT_OK ||
        aliot_client_wait_stopped(client, STOP_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("stop");
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? positive_number(argv[1], ULONG_MAX) : ULONG_MAX;
    unsigned long interval_ms = argc > 2 ? positive_number(argv[2], MAX_INTERVAL_MS) : 1000;
    sigset_t signals;
    tally readings = {0};
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    char topic[129];
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (argc > 3 || count == 0 || interval_ms == 0) {
        fprintf(stderr, "usage: telemetry [COUNT [INTERVAL_MS]]\n");
    } else if (!hold_signals(&signals)) {
        fprintf(stderr, "the signals cannot be held back\n");
    } else if (identity_from_environment(&identity) && endpoint_from_environment(&endpoint)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_topic_user(identity, "update", topic, sizeof topic) != ALIOT_RESULT_OK ||
            aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
            aliot_client_set_event_callback(client, print_event, NULL, NULL) != ALIOT_RESULT_OK ||
            aliot_client_set_completion_callback(client, on_completion, &readings, NULL) !=
                ALIOT_RESULT_OK ||
            aliot_client_start(client) != ALIOT_RESULT_OK) {
            status = fail("start");
        } else {
            status = report(client, topic, &signals, count, interval_ms);
        }
    }

    aliot_client_destroy(client);
    /* Nothing of the client runs any more: the tally is final. */
    if (client != NULL) {
        printf("%lu readings acknowledged, %lu lost\n", readings.acknowledged, readings.lost);
    }
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return readings.lost == 0 ? status : EXIT_FAILURE;
}
