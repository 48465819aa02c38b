/*
 * A device that proves itself by an X.509 certificate, and learns from the platform who it is: the
 * identity is kept in a file for the next start.
 *
 *   ALIOT_CERTIFICATE_FILE=device.pem ALIOT_KEY_FILE=device.key ALIOT_REGION=cn-shanghai \
 *   ./certificate [IDENTITY_FILE]
 *
 * With a certificate, example.h makes the endpoint of a region by aliot_endpoint_create_for_x509: a
 * host and a port of their own. It lists what else the environment may say.
 */

#define _POSIX_C_SOURCE 200809L

#include "example.h"

#include <poll.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_MS = 30000, IDENTITY_WAIT_MS = 5000, DRAIN_TIMEOUT_MS = 2000,
       STOP_TIMEOUT_MS = 5000 };

typedef struct device {
    const char *file;
    bool known; /* from the file */
    int told[2]; /* a pipe, from the callback to the main thread: whether the identity was stored */
} device;

static void on_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    device *self = userdata;
    print_event(client, event, NULL);
    if (event->kind == ALIOT_EVENT_KIND_IDENTITY_RECEIVED) {
        char stored = aliot_identity_save(event->identity, self->file) == ALIOT_RESULT_OK;
        if (stored) {
            printf("this device is %s of %s\n", aliot_identity_device_name(event->identity),
                   aliot_identity_product_key(event->identity));
        } else {
            fail("store the identity");
        }
        if (write(self->told[1], &stored, 1) != 1) {
            perror("write");
        }
    }
}

/* The stored identity, or one without names, which the platform fills in. */
static bool load(device *self, aliot_identity **identity_out)
{
    switch (aliot_identity_load(self->file, identity_out)) {
    case ALIOT_RESULT_OK:
        printf("this device knows that it is %s\n", aliot_identity_device_name(*identity_out));
        self->known = true;
        return true;
    case ALIOT_RESULT_FILE_NOT_FOUND:
        if (aliot_identity_create_with_certificate("", "", identity_out) != ALIOT_RESULT_OK) {
            fail("make an identity without names");
            return false;
        }
        return true;
    default:
        fail("load the identity");
        return false;
    }
}

/* A device with work to do need not wait: it can work meanwhile, and learn in the callback. */
static bool wait_for_identity(const device *self)
{
    struct pollfd told = {self->told[0], POLLIN, 0};
    char stored = false;

    if (poll(&told, 1, IDENTITY_WAIT_MS) != 1) {
        fprintf(stderr, "the platform has not said in time which device this is\n");
        return false;
    }
    return read(self->told[0], &stored, 1) == 1 && stored;
}

static int run(aliot_client *client, const device *self)
{
    int status = EXIT_SUCCESS;

    if (aliot_client_start(client) != ALIOT_RESULT_OK ||
        aliot_client_wait_connected(client, CONNECT_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("connect");
    }
    if (!self->known && !wait_for_identity(self)) {
        status = EXIT_FAILURE; /* the next start would have to ask again */
    }
    if (aliot_client_stop(client, DRAIN_TIMEOUT_MS) != ALIOT_RESULT_OK ||
        aliot_client_wait_stopped(client, STOP_TIMEOUT_MS) != ALIOT_RESULT_OK) {
        return fail("stop");
    }
    puts("goodbye");
    return status;
}

int main(int argc, char **argv)
{
    const char *certificate = required("ALIOT_CERTIFICATE_FILE", "the device's certificate, PEM");
    const char *key = required("ALIOT_KEY_FILE", "the private key of that certificate, PEM");
    aliot_endpoint *endpoint = NULL;
    aliot_identity *identity = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    device self = {argc > 1 ? argv[1] : "identity", false, {-1, -1}};
    int status = EXIT_FAILURE;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (certificate == NULL || key == NULL) {
        return EXIT_FAILURE;
    }
    if (pipe(self.told) != 0) {
        perror("pipe");
        return EXIT_FAILURE;
    }
    if (endpoint_from_environment(&endpoint) && load(&self, &identity)) {
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
    close(self.told[0]);
    close(self.told[1]);
    return status;
}
