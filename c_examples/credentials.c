/*
 * Prints what CONNECT carries, for firmware that brings its own MQTT stack. Uses no network.
 *
 *   ALIOT_PRODUCT_KEY=... ALIOT_DEVICE_NAME=... ALIOT_DEVICE_SECRET=... \
 *   ALIOT_INSTANCE=iot-... ./credentials
 *
 * The output is quoted for the shell, so that another client can use it as it is (with the
 * variables above exported):
 *
 *   eval "$(./credentials)"
 *   mosquitto_pub -V mqttv311 -h HOST -p 8883 --cafile ROOTS.pem -i "$client_id" -u "$username" \
 *                 -P "$password" -q 1 -t "/$ALIOT_PRODUCT_KEY/$ALIOT_DEVICE_NAME/user/update" -m hi
 *
 * The password signs in as this device: keep it as you keep the secret.
 * example.h lists what else the environment may say.
 */

#include "example.h"

/* In single quotes nothing is special to a shell but the quote itself. */
static void print_quoted(const char *name, const char *value)
{
    printf("%s='", name);
    for (; *value != '\0'; value++) {
        if (*value == '\'') {
            fputs("'\\''", stdout);
        } else {
            putchar(*value);
        }
    }
    puts("'");
}

int main(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_credentials *credentials = NULL;
    int status = EXIT_FAILURE;

    if (identity_from_environment(&identity) && endpoint_from_environment(&endpoint)) {
        if (aliot_config_create(identity, endpoint, &config) != ALIOT_RESULT_OK ||
            aliot_credentials_create(config, &credentials) != ALIOT_RESULT_OK) {
            status = fail("compute the credentials");
        } else {
            print_quoted("client_id", aliot_credentials_client_id(credentials));
            print_quoted("username", aliot_credentials_username(credentials));
            print_quoted("password", aliot_credentials_password(credentials));
            status = EXIT_SUCCESS;
        }
    }

    aliot_credentials_destroy(credentials);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return status;
}
