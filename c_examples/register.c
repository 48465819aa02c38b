/*
 * The whole life of a device that leaves the factory with its product's secret alone: loads its
 * identity from a file or, the first time, registers and stores it there; then reports readings.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_PRODUCT_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./register IDENTITY_FILE [READINGS]
 *
 * Three READINGS by default, at most a million; they go out at the pace that the platform takes,
 * ten a second. ALIOT_CREATE_DEVICE=1 registers a name that the console does not know yet. example.h
 * lists what else the environment may say.
 */

#include "example.h"

#include <stdatomic.h>

/* A full outbox is 1000 readings, which take 100 seconds; an outage may come on top. */
enum {
    REGISTER_TIMEOUT_MS = 30000,
    CONNECT_TIMEOUT_MS = 30000,
    ROOM_TIMEOUT_MS = 200000,
    FLUSH_TIMEOUT_MS = 200000,
    DRAIN_TIMEOUT_MS = 2000,
    STOP_TIMEOUT_MS = 5000,
    MAX_READINGS = 1000000
};

/* Written by the library's callback thread. */
typedef struct tally {
    atomic_ulong acknowledged;
    atomic_ulong lost;
} tally;

/* Runs before the platform is told that all is well. After a loss of power in here the device
 * registers again; after it has connected once, the platform would refuse that. */
static bool store(const aliot_identity *identity, void *userdata)
{
    const char *file = userdata;
    if (aliot_identity_save(identity, file) != ALIOT_RESULT_OK) {
        fail("store the identity");
        return false;
    }
    printf("registered; the identity is in %s\n", file);
    return true;
}

static bool register_device(char *file, const aliot_endpoint *endpoint,
                            aliot_identity **identity_out)
{
    const char *product_key = required("ALIOT_PRODUCT_KEY", "the product's key, from the console");
    const char *device_name = required("ALIOT_DEVICE_NAME", "a name such as the serial number");
    const char *secret = required("ALIOT_PRODUCT_SECRET", "the product's secret, not a device's");
    aliot_registration_kind kind = variable("ALIOT_CREATE_DEVICE") != NULL
                                       ? ALIOT_REGISTRATION_KIND_CREATE_DEVICE
                                       : ALIOT_REGISTRATION_KIND_PREREGISTERED;
    aliot_registration *registration = NULL;
    bool registered = false;

    if (product_key == NULL || device_name == NULL || secret == NULL) {
        return false;
    }
    if (aliot_registration_create(endpoint, product_key, device_name, secret, kind,
                                  &registration) != ALIOT_RESULT_OK ||
        aliot_registration_run(registration, REGISTER_TIMEOUT_MS, store, file, identity_out) !=
            ALIOT_RESULT_OK) {
        fail("register");
    } else {
        registered = true;
    }
    aliot_registration_destroy(registration);
    return registered;
}

/* A file that is there but unusable is for a person to look at: the secret in it cannot be had
 * twice. */
static bool load_or_register(char *file, const aliot_endpoint *endpoint,
                             aliot_identity **identity_out)
{
    switch (aliot_identity_load(file, identity_out)) {
    case ALIOT_RESULT_OK:
        printf("the identity comes from %s\n", file);
        return true;
    case ALIOT_RESULT_FILE_NOT_FOUND:
        return register_device(file, endpoint, identity_out);
    default:
        fail("load the identity");
        return false;
    }
}

/* Runs once for each reading that aliot_client_publish accepted. */
static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    tally *count = userdata;
    (void)client;
    if (completion->result == ALIOT_RESULT_OK) {
        atomic_fetch_add(&count->acknowledged, 1);
    } else {
        atomic_fetch_add(&count->lost, 1);
        printf("reading %llu: %s\n", (unsigned long long)completion->token, completion->text);
    }
}

/* What is published faster than it leaves waits in the outbox, and once that is full, here. */
static aliot_result publish(aliot_client *client, const char *topic, const char *payload)
{
    for (;;) {
        aliot_result result = aliot_client_publish(client, topic, payload, strlen(payload),
                                                   ALIOT_QOS_AT_LEAST_ONCE, NULL);
        if (result != ALIOT_RESULT_OUTBOX_FULL) {
            return result;
        }
        result = aliot_client_wait_room(client, ROOM_TIMEOUT_MS);
        if (result != ALIOT_RESULT_OK) {
            return result;
        }
    }
}

static int report(aliot_client *client, const char *topic, unsigned long readings)
{
    if (aliot_client_start(client) != ALIOT_RESULT_OK ||
        aliot_client_wait_connected(client, CONNECT_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("connect");
    }
    for (unsigned long reading = 0; reading < readings; reading++) {
        char payload[64];
        snprintf(payload, sizeof payload, "{\"reading\": %lu}", reading);
        if (publish(client, topic, payload) != ALIOT_RESULT_OK) {
            return fail("publish");
        }
    }
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
    aliot_endpoint *endpoint = NULL;
    aliot_identity *identity = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    char topic[129];
    unsigned long readings = argc > 2 ? positive_number(argv[2], MAX_READINGS) : 3;
    tally count = {0};
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (argc < 2 || argc > 3 || readings == 0) {
        fprintf(stderr, "usage: register IDENTITY_FILE [READINGS]\n");
        return EXIT_FAILURE;
    }
    if (endpoint_from_environment(&endpoint) && load_or_register(argv[1], endpoint, &identity)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_config_use_platform_rates(config) != ALIOT_RESULT_OK ||
            aliot_topic_user(identity, "update", topic, sizeof topic) != ALIOT_RESULT_OK ||
            aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
            aliot_client_set_event_callback(client, print_event, NULL, NULL) != ALIOT_RESULT_OK ||
            aliot_client_set_completion_callback(client, on_completion, &count, NULL) !=
                ALIOT_RESULT_OK) {
            status = fail("set up the client");
        } else {
            status = report(client, topic, readings);
        }
    }

    aliot_client_destroy(client);
    /* Nothing of the client runs any more: the tally is final. */
    if (client != NULL) {
        printf("%lu readings acknowledged, %lu lost\n", count.acknowledged, count.lost);
    }
    aliot_config_destroy(config);
    aliot_identity_destroy(identity);
    aliot_endpoint_destroy(endpoint);
    return count.lost == 0 ? status : EXIT_FAILURE;
}
