/*
 * A lamp: takes the commands "on", "off" and "goodbye", and answers each.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./commands
 *
 * Commands arrive on /PRODUCT_KEY/DEVICE_NAME/user/get, answers go to .../user/update: the topics
 * of a new product, which the console can publish to and shows. "goodbye", Ctrl-C or SIGTERM
 * ends it. example.h lists what else the environment may say.
 */

#define _POSIX_C_SOURCE 200809L

#include "example.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { FLUSH_TIMEOUT_MS = 10000, DRAIN_TIMEOUT_MS = 2000, STOP_TIMEOUT_MS = 5000 };

/* User data of the subscription: the library's until it calls release_lamp. */
typedef struct lamp {
    char answers[129]; /* a topic */
    bool on;
} lamp;

/* Posted by whatever ends the program: a command, a signal, a failure. */
static sem_t finished;
static atomic_bool failed;

static void finish(void)
{
    sem_post(&finished);
}

static void on_signal(int number)
{
    (void)number;
    finish();
}

/* A payload is bytes with a length, without a NUL at its end. */
static bool is(const aliot_message *message, const char *command)
{
    size_t len = strlen(command);
    return message->payload_len == len && memcmp(message->payload, command, len) == 0;
}

static void on_command(aliot_client *client, const aliot_message *message, void *userdata)
{
    lamp *device = userdata;
    bool leaving = is(message, "goodbye");
    char answer[32];
    int len;

    printf("command: %.*s\n", (int)message->payload_len, (const char *)message->payload);
    if (is(message, "on") || is(message, "off")) {
        device->on = is(message, "on");
        len = snprintf(answer, sizeof answer, "{\"lamp\": \"%s\"}", device->on ? "on" : "off");
    } else if (leaving) {
        len = snprintf(answer, sizeof answer, "{\"lamp\": \"leaving\"}");
    } else {
        len = snprintf(answer, sizeof answer, "{\"error\": \"unknown\"}");
    }
    /* A callback may call everything that does not block. */
    if (aliot_client_publish(client, device->answers, answer, (size_t)len, ALIOT_QOS_AT_LEAST_ONCE,
                             NULL) != ALIOT_RESULT_OK) {
        fail("answer");
        atomic_store(&failed, true);
        leaving = true;
    }
    if (leaving) {
        finish();
    }
}

/* Runs once, after the last on_command that could use the lamp. */
static void release_lamp(void *userdata)
{
    free(userdata);
    puts("lamp released");
}

/* Runs once for the subscription, each answer and the end of the subscription. */
static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client;
    (void)userdata;
    if (completion->result == ALIOT_RESULT_OK) {
        printf("operation %llu acknowledged\n", (unsigned long long)completion->token);
    } else {
        fprintf(stderr, "operation %llu failed: %s\n", (unsigned long long)completion->token,
                completion->text);
        atomic_store(&failed, true);
        finish();
    }
}

/* The library asks for a lost subscription again only when the application subscribes again. What is
 * missing is a right that the console gives, so asking does not help, and a lamp that takes no
 * commands is no lamp. */
static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    print_event(client, event, userdata);
    if (event->kind == ALIOT_EVENT_KIND_SUBSCRIPTION_LOST) {
        atomic_store(&failed, true);
        finish();
    }
}

/* Gives a lamp to the library, or frees it. */
static bool subscribe(aliot_client *client, const aliot_identity *identity, const char *filter)
{
    lamp *device = calloc(1, sizeof *device);

    if (device == NULL) {
        perror("calloc");
        return false;
    }
    if (aliot_topic_user(identity, "update", device->answers, sizeof device->answers) !=
            ALIOT_RESULT_OK ||
        aliot_client_subscribe(client, filter, ALIOT_QOS_AT_LEAST_ONCE, on_command, device,
                               release_lamp, NULL) != ALIOT_RESULT_OK) {
        fail("subscribe");
        free(device); /* refused: the library has not touched it */
        return false;
    }
    return true;
}

static int serve(aliot_client *client, const aliot_identity *identity)
{
    char filter[129];

    /* Subscribing before the start is no mistake: the library subscribes at every connection. */
    if (aliot_topic_user(identity, "get", filter, sizeof filter) != ALIOT_RESULT_OK) {
        return fail("name the topic");
    }
    if (!subscribe(client, identity, filter)) {
        return EXIT_FAILURE;
    }
    if (aliot_client_start(client) != ALIOT_RESULT_OK) {
        return fail("start");
    }
    while (sem_wait(&finished) != 0 && errno == EINTR) {
    }
    if (aliot_client_unsubscribe(client, filter, NULL) != ALIOT_RESULT_OK ||
        aliot_client_wait_flushed(client, FLUSH_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("unsubscribe");
    }
    if (aliot_client_stop(client, DRAIN_TIMEOUT_MS) != ALIOT_RESULT_OK ||
        aliot_client_wait_stopped(client, STOP_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("stop");
    }
    puts("goodbye");
    return EXIT_SUCCESS;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (sem_init(&finished, 0, 0) != 0 || sigaction(SIGINT, &action, NULL) != 0 ||
        sigaction(SIGTERM, &action, NULL) != 0) {
        perror("commands");
        return EXIT_FAILURE;
    }
    if (identity_from_environment(&identity) && endpoint_from_environment(&endpoint)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
            aliot_client_set_event_callback(client, on_event, NULL, NULL) != ALIOT_RESULT_OK ||
            aliot_client_set_completion_callback(client, on_completion, NULL, NULL) !=
                ALIOT_RESULT_OK) {
            status = fail("set up the client");
        } else {
            status = serve(client, identity);
        }
    }

    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    sem_destroy(&finished);
    return atomic_load(&failed) ? EXIT_FAILURE : status;
}
