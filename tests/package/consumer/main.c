/*
 * Compiles against the header, links, runs, and has the version it was told to expect. If the
 * environment names a platform, it also connects and has a message acknowledged.
 */

#include <aliot.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int publish(const char *host)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    aliot_client *client = NULL;
    uint16_t port = (uint16_t)atoi(getenv("ALIOT_PORT"));
    char topic[129];
    char reason[512];

    int failed =
        aliot_identity_create(getenv("ALIOT_PRODUCT_KEY"), getenv("ALIOT_DEVICE_NAME"),
                              getenv("ALIOT_DEVICE_SECRET"), &identity) ||
        aliot_endpoint_create_for_host(host, port, &endpoint) ||
        aliot_endpoint_set_ca_file(endpoint, getenv("ALIOT_CA_FILE")) ||
        aliot_config_create(identity, endpoint, &config) ||
        aliot_topic_user(identity, "update", topic, sizeof topic) ||
        aliot_client_create(config, &client) ||
        aliot_client_start(client) ||
        aliot_client_publish(client, topic, "consumer", 8, ALIOT_QOS_AT_LEAST_ONCE, NULL) ||
        aliot_client_wait_flushed(client, 30000);

    if (failed) {
        aliot_last_error(reason, sizeof reason);
        fprintf(stderr, "%s\n", reason);
    }
    aliot_client_destroy(client);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return failed;
}

int main(int argc, char **argv)
{
    const char *version = aliot_version_string();
    const char *host = getenv("ALIOT_HOST");

    printf("aliot %s\n", version);
    if (argc != 2 || strcmp(argv[1], version) != 0 || !ALIOT_VERSION_MATCHES()) {
        return 1;
    }
    return host != NULL ? publish(host) : 0;
}
