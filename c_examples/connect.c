/*
 * Connects, says so, and leaves in good order: the shortest complete program.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./connect
 *
 * example.h lists what else the environment may say.
 */

#include "example.h"

enum { CONNECT_TIMEOUT_MS = 30000, DRAIN_TIMEOUT_MS = 2000, STOP_TIMEOUT_MS = 5000 };

static int connect_once(aliot_client *client)
{
    if (aliot_client_start(client) != ALIOT_RESULT_OK ||
        aliot_client_wait_connected(client, CONNECT_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("connect");
    }
    /* Said here, because a program that leaves at once may be gone before the event arrives. */
    puts("signed in");
    /* From here on the client stays connected by itself. This is where a device does its work. */
    if (aliot_client_stop(client, DRAIN_TIMEOUT_MS) != ALIOT_RESULT_OK ||
        aliot_client_wait_stopped(client, STOP_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("stop");
    }
    puts("goodbye");
    return EXIT_SUCCESS;
}

int main(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (identity_from_environment(&identity) && endpoint_from_environment(&endpoint)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
            aliot_client_set_event_callback(client, print_event, NULL, NULL) != ALIOT_RESULT_OK) {
            status = fail("set up the client");
        } else {
            status = connect_once(client);
        }
    }

    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return status;
}
