/* Planted: a callback and a thread of the application write one number, without a lock. */
#include <aliot.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static int shared;
static atomic_bool called; /* relaxed: it tells, and orders nothing */

static void on_completion(aliot_client *client, const aliot_completion *completion, void *userdata)
{
    (void)client, (void)completion, (void)userdata;
    shared++;
    atomic_store_explicit(&called, true, memory_order_relaxed);
}

/* Begun before the client and without a call of the library: nothing orders the two. */
static void *write_too(void *nothing)
{
    const struct timespec moment = {0, 1000000};
    while (!atomic_load_explicit(&called, memory_order_relaxed))
        nanosleep(&moment, NULL);
    shared++;
    return nothing;
}

int main(void)
{
    pthread_t thread;
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    if (pthread_create(&thread, NULL, write_too, NULL) != 0 ||
        aliot_identity_create("pk", "device", "secret", &identity) != ALIOT_RESULT_OK ||
        aliot_endpoint_create_for_host("127.0.0.1", 1, &endpoint) != ALIOT_RESULT_OK ||
        aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
        aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
        aliot_client_set_completion_callback(client, on_completion, NULL, NULL) !=
            ALIOT_RESULT_OK ||
        aliot_client_publish(client, "t", "x", 1, ALIOT_QOS_AT_LEAST_ONCE, NULL) !=
            ALIOT_RESULT_OK ||
        aliot_client_start(client) != ALIOT_RESULT_OK ||
        aliot_client_stop(client, 0) != ALIOT_RESULT_OK)
        return 1;
    pthread_join(thread, NULL);
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return 0;
}
