/* A client's whole life, for tests that take something from the process meanwhile: see
 * tests/c_programs/accidents.rs. Ends with "done", or with the call that was denied something. */

#define _GNU_SOURCE
#include "../platform.h"

#include <dlfcn.h>
#include <stdatomic.h>

enum { MESSAGES = 20, DENIED = 3 };

/* The call must succeed, or say by its result what it could not have. */
#define OK_OR_DENIED(call) \
    do { \
        aliot_result result = (call); \
        if (result != ALIOT_RESULT_OK) \
            denied(#call, result); \
    } while (0)

static void denied(const char *call, aliot_result result)
{
    char text[256];
    aliot_last_error(text, sizeof text);
    printf("denied: %s: %s: %s\n", call, aliot_result_name(result), text);
    exit(text[0] != '\0' ? DENIED : 1);
}

static atomic_int acknowledged, arrived, failed, why;

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)userdata;
    if (completion->result == ALIOT_RESULT_OK) {
        acknowledged++;
    } else {
        CHECK(completion->text[0] != '\0');
        why = (int)completion->result;
        failed++;
    }
}

static void on_message(aliot_client *client, const aliot_message *message, void *userdata)
{
    (void)client, (void)userdata;
    CHECK(message->payload_len == 100);
    arrived++;
}

/* Of the preloaded library that lets allocations fail, if it is there. */
static long preloaded(const char *name)
{
    long (*function)(void) = NULL;
    *(void **)&function = dlsym(RTLD_DEFAULT, name);
    return function != NULL ? function() : 0;
}

static void live(void)
{
    char payload[100] = {0};
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    bool tls = uses_tls();
    uint16_t port = (uint16_t)atoi(environment(tls ? "SIM_TLS_PORT" : "SIM_TCP_PORT"));
    OK_OR_DENIED(aliot_identity_create("a1test", "device", "canary-device-secret", &identity));
    OK_OR_DENIED(aliot_endpoint_create_for_host("127.0.0.1", port, &endpoint));
    OK_OR_DENIED(aliot_endpoint_set_connect_timeout_ms(endpoint, 1000));
    if (tls)
        OK_OR_DENIED(aliot_endpoint_set_ca_file(endpoint, environment("SIM_CA_FILE")));
    else
        OK_OR_DENIED(aliot_endpoint_set_dangerous_plaintext(endpoint));
    OK_OR_DENIED(aliot_config_create(identity, endpoint, &config));
    OK_OR_DENIED(aliot_config_use_private_profile(config));
    OK_OR_DENIED(aliot_config_set_connects_per_minute(config, 0));
    OK_OR_DENIED(aliot_config_set_reconnect_ms(config, 1, 10));
    /* A read that answers "later" though something is there leaves the connection silent. */
    OK_OR_DENIED(aliot_config_set_ack_timeout_ms(config, 1000));
    OK_OR_DENIED(aliot_client_create(config, &client));
    OK_OR_DENIED(aliot_client_set_completion_callback(client, on_completion, NULL, NULL));
    OK_OR_DENIED(aliot_client_subscribe(client, TOPIC, ALIOT_QOS_AT_LEAST_ONCE, on_message, NULL,
                                        NULL, NULL));
    OK_OR_DENIED(aliot_client_start(client));
    for (int i = 0; i < MESSAGES; i++)
        OK_OR_DENIED(aliot_client_publish(client, TOPIC, payload, sizeof payload,
                                          ALIOT_QOS_AT_LEAST_ONCE, NULL));
    OK_OR_DENIED(aliot_client_wait_flushed(client, PATIENCE_MS));
    CHECK_EVENTUALLY(acknowledged + failed == MESSAGES + 1);
    if (failed > 0) {
        printf("denied: %d operations: %s\n", failed, aliot_result_name((aliot_result)why));
        exit(DENIED);
    }
    printf("failures: %d\n", (int)(aliot_client_counter(client, ALIOT_COUNTER_CONNECT_FAILURES) +
                                   aliot_client_counter(client, ALIOT_COUNTER_LOST_TO_NETWORK)));
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    CHECK(acknowledged == MESSAGES + 1);
}

int main(void)
{
    preloaded("failures_begin");
    live();
    printf("allocations: %ld\ndone\n", preloaded("failures_end"));
    return 0;
}
