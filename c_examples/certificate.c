/*
 * A device that proves itself by an X.509 certificate, and learns from the platform who it is: the
 * identity is kept in a file for the next start.
 *
 *   ALIOT_CERTIFICATE_FILE=device.pem ALIOT_KEY_FILE=device.key \
 *   ALIOT_HOST=x509.itls.cn-shanghai.aliyuncs.com ALIOT_PORT=1883 ./certificate IDENTITY_FILE
 */

#include "example.h"

#include <stdatomic.h>

enum { CONNECT_TIMEOUT_MS = 30000, IDENTITY_WAIT_MS = 5000, DRAIN_TIMEOUT_MS = 2000,
       STOP_TIMEOUT_MS = 5000 };

typedef struct device {
    const char *file;
    atomic_bool known;
} device;

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    device *self = userdata;
    print_event(client, event, NULL);
    if (event->kind == ALIOT_EVENT_KIND_IDENTITY_RECEIVED) {
        if (aliot_identity_save(event->identity, self->file) != ALIOT_RESULT_OK) {
            fail("store the identity");
        } else {
            printf("this device is %s of %s\n", aliot_identity_device_name(event->identity),
                   aliot_identity_product_key(event->identity));
        }
        atomic_store(&self->known, true);
    }
}

/* The stored identity, or one without names, which the platform fills in. */
static bool load(device *self, aliot_identity **identity_out)
{
    switch (aliot_identity_load(self->file, identity_out)) {
    case ALIOT_RESULT_OK:
        printf("this device knows that it is %s\n", aliot_identity_device_name(*identity_out));
        atomic_store(&self->known, true);
        return true;
    case ALIOT_RESULT_FILE_NOT_FOUND:
        return aliot_identity_create_with_certificate("", "", identity_out) == ALIOT_RESULT_OK;
    default:
        fail("load the identity");
        return false;
    }
}

static int run(aliot_client *client, device *self)
{
    if (aliot_client_start(client) != ALIOT_RESULT_OK ||
        aliot_client_wait_connected(client, CONNECT_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("connect");
    }
    for (int waited = 0; !atomic_load(&self->known) && waited < IDENTITY_WAIT_MS; waited += 10) {
        /* A device with work to do does it here; nothing else in this one could wait. */
        aliot_client_wait_stopped(client, 10);
    }
    if (aliot_client_stop(client, DRAIN_TIMEOUT_MS) != ALIOT_RESULT_OK ||
        aliot_client_wait_stopped(client, STOP_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("stop");
    }
    puts("goodbye");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    aliot_endpoint *endpoint = NULL;
    aliot_identity *identity = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    device self = {argc > 1 ? argv[1] : "identity", false};
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (required("ALIOT_CERTIFICATE_FILE", "the device's certificate, PEM") != NULL &&
        endpoint_from_environment(&endpoint) && load(&self, &identity)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_client_create(config, &client) != ALIOT_RESULT_OK ||
            aliot_client_set_event_callback(client, on_event, &self, NULL) != ALIOT_RESULT_OK) {
            status = fail("set up the client");
        } else {
            status = run(client, &self);
        }
    }

    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_identity_destroy(identity);
    aliot_endpoint_destroy(endpoint);
    return status;
}
