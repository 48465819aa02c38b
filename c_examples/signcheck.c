/*
 * Says why credentials that were made elsewhere do not sign the device in. Uses no network.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   client_id=... username=... password=... ./signcheck
 *
 *   ALIOT_PRODUCT_SECRET   optional: recognises its use in place of the device secret
 *   ALIOT_REGION, ...      optional: where the platform is; securemode must fit it
 *
 * The exit status is 0 if they are right, 1 if they are not, 2 if that could not be checked.
 * example.h lists what else the environment may say.
 */

#include "example.h"

enum { RIGHT = 0, WRONG = 1, UNCHECKED = 2 };

/* An empty value is checked like any other. */
static const char *submitted(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set: what the other program sends in CONNECT\n", name);
    }
    return value;
}

static int check(const aliot_identity *identity, const aliot_endpoint *endpoint)
{
    const char *client_id = submitted("client_id");
    const char *username = submitted("username");
    const char *password = submitted("password");
    aliot_sign_finding finding;
    char text[2048];

    if (client_id == NULL || username == NULL || password == NULL) {
        return UNCHECKED;
    }
    if (aliot_sign_check(identity, variable("ALIOT_PRODUCT_SECRET"), endpoint, client_id, username,
                         password, &finding, text, sizeof text) != ALIOT_RESULT_OK) {
        fail("check the credentials");
        return UNCHECKED;
    }
    puts(text);
    return finding == ALIOT_SIGN_FINDING_MATCHES ? RIGHT : WRONG;
}

int main(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    bool has_endpoint = variable("ALIOT_INSTANCE") != NULL || variable("ALIOT_REGION") != NULL ||
                        variable("ALIOT_HOST") != NULL;
    int status = UNCHECKED;

    if (identity_from_environment(&identity) &&
        (!has_endpoint || endpoint_from_environment(&endpoint))) {
        status = check(identity, endpoint);
    }

    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return status;
}
