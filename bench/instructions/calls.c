/*
 * Runs one function of the C interface a number of times, for somebody who counts instructions:
 * `calls FUNCTION COUNT`.
 */
#include <aliot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENT "clientIda1B2c3D4e5F.bench-dev-000001deviceNamebench-dev-000001" \
                "productKeya1B2c3D4e5Ftimestamp2524608000000"

int main(int argc, char **argv)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_credentials *credentials = NULL;
    char text[200];
    const char *what = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    int failed = aliot_identity_create("a1B2c3D4e5F", "bench-dev-000001", "secret", &identity) ||
                 aliot_endpoint_create_for_region("cn-shanghai", &endpoint) ||
                 aliot_config_create(identity, endpoint, &config);
    for (long i = 0; i < count && !failed; i++) {
        if (!strcmp(what, "credentials")) {
            failed = aliot_credentials_create(config, &credentials);
            aliot_credentials_destroy(credentials);
        } else if (!strcmp(what, "sign")) {
            failed = aliot_sign(ALIOT_SIGN_METHOD_HMAC_SHA256, "secret", 6, CONTENT,
                                strlen(CONTENT), text, sizeof text);
        } else if (!strcmp(what, "topic")) {
            failed = aliot_topic_user(identity, "update", text, sizeof text);
        } else {
            failed = 1;
        }
    }
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return failed;
}
