/* The simulator that the environment names, and clients of it. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

static const char TOPIC[] = "/a1test/device/user/echo";

static inline const char *environment(const char *name)
{
    const char *value = getenv(name);
    CHECK(value != NULL);
    return value;
}

static inline bool uses_tls(void)
{
    return strcmp(environment("SIM_TRANSPORT"), "tls") == 0;
}

/* Where the simulator is. */
static inline aliot_endpoint *platform_endpoint(void)
{
    aliot_endpoint *endpoint = NULL;
    uint16_t port = (uint16_t)atoi(environment(uses_tls() ? "SIM_TLS_PORT" : "SIM_TCP_PORT"));
    CHECK_OK(aliot_endpoint_create_for_host("localhost", port, &endpoint));
    if (uses_tls()) {
        CHECK_OK(aliot_endpoint_set_ca_file(endpoint, environment("SIM_CA_FILE")));
    } else {
        CHECK_OK(aliot_endpoint_set_dangerous_plaintext(endpoint));
    }
    return endpoint;
}

/* A config that reconnects soon and has no budget. The endpoint is destroyed. */
static inline aliot_config *config_to(aliot_endpoint *endpoint, const char *device_name,
                                      const char *secret)
{
    aliot_identity *identity = NULL;
    aliot_config *config = NULL;
    CHECK_OK(aliot_identity_create("a1test", device_name, secret, &identity));
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    CHECK_OK(aliot_config_use_private_profile(config));
    CHECK_OK(aliot_config_set_connects_per_minute(config, 0));
    CHECK_OK(aliot_config_set_reconnect_ms(config, 5, 50));
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return config;
}

static inline aliot_config *platform_config(void)
{
    return config_to(platform_endpoint(), "device", "canary-device-secret");
}

/* The config is destroyed. */
static inline aliot_client *client_of(aliot_config *config)
{
    aliot_client *client = NULL;
    CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    return client;
}

static inline aliot_client *platform_client(void)
{
    return client_of(platform_config());
}

/* Gives the simulator one command; whether it succeeded. */
static inline bool try_control(const char *command, char answer[256])
{
    size_t length = 0;
    struct sockaddr_in address = {0};
    int control = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(environment("SIM_CONTROL_PORT")));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(control >= 0);
    CHECK(connect(control, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(write(control, command, strlen(command)) == (ssize_t)strlen(command));
    CHECK(write(control, "\n", 1) == 1);
    while (length == 0 || answer[length - 1] != '\n') {
        ssize_t got = read(control, answer + length, 255 - length);
        CHECK(got > 0);
        length += (size_t)got;
    }
    answer[length] = '\0';
    close(control);
    return strncmp(answer, "ok", 2) == 0;
}

static inline void control(const char *command)
{
    char answer[256];
    if (!try_control(command, answer)) {
        fprintf(stderr, "%s: %s", command, answer);
        CHECK(!"the simulator did it");
    }
}

#endif
