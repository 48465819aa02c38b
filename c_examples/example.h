/*
 * What the examples share: who the device is and where the platform is, both from the environment,
 * and how to say what went wrong.
 *
 *   ALIOT_PRODUCT_KEY, ALIOT_DEVICE_NAME, ALIOT_DEVICE_SECRET   who, as the console shows it
 *
 *   ALIOT_INSTANCE          where: the id of an instance, such as iot-06z00abcdefgh12
 *   ALIOT_REGION            or the region of an instance that has no id, such as cn-shanghai; with
 *                           ALIOT_CERTIFICATE_FILE, of the host for X.509
 *   ALIOT_HOST, ALIOT_PORT  or a host of your own
 *
 *   ALIOT_PORT              optional for all three but ALIOT_HOST
 *   ALIOT_SERVER_NAME       optional: the name in the host's certificate, if it is not the host's
 *   ALIOT_CA_FILE           optional: the roots to trust instead of the platform's, PEM
 *   ALIOT_HTTP_PROXY        optional: host:port of a proxy, as is ALIOT_SOCKS_PROXY
 *   ALIOT_WEBSOCKET         optional: MQTT inside a WebSocket, and its path, such as /
 *   ALIOT_CERTIFICATE_FILE  optional, with ALIOT_KEY_FILE: the device's own certificate, PEM
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <aliot.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says why the last call of this thread failed, and is the exit status for it. */
static inline int fail(const char *doing)
{
    char reason[512];
    char hint[512];
    aliot_last_error(reason, sizeof reason);
    fprintf(stderr, "could not %s: %s\n", doing, reason);
    if (aliot_last_error_hint(hint, sizeof hint) > 0) {
        fprintf(stderr, "hint: %s\n", hint);
    }
    return EXIT_FAILURE;
}

/* NULL for a variable that is not set or empty. */
static inline const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* Like variable, but says so if it is missing. */
static inline const char *required(const char *name, const char *meaning)
{
    const char *value = variable(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set: %s\n", name, meaning);
    }
    return value;
}

/* A number of at most `max`, or 0 for anything else. */
static inline unsigned long positive_number(const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    return number <= max && end != NULL && *end == '\0' ? number : 0;
}

/* False after it has said what is wrong. */
static inline bool identity_from_environment(aliot_identity **identity_out)
{
    const char *product_key = required("ALIOT_PRODUCT_KEY", "the product's key, from the console");
    const char *device_name = required("ALIOT_DEVICE_NAME", "the device's name in that product");
    const char *device_secret = required("ALIOT_DEVICE_SECRET", "the device's own secret");

    if (product_key == NULL || device_name == NULL || device_secret == NULL) {
        return false;
    }
    if (aliot_identity_create(product_key, device_name, device_secret, identity_out) !=
        ALIOT_RESULT_OK) {
        fail("use the identity");
        return false;
    }
    return true;
}

/* Whether there is a proxy. An empty host or port 0 is for the library to refuse. */
static inline bool proxy_from_environment(char *host, size_t capacity, uint16_t *port_out)
{
    const char *http_proxy = variable("ALIOT_HTTP_PROXY");
    const char *proxy = http_proxy != NULL ? http_proxy : variable("ALIOT_SOCKS_PROXY");
    const char *colon = proxy != NULL ? strrchr(proxy, ':') : NULL;
    size_t len = colon != NULL ? (size_t)(colon - proxy) : 0;

    len = len < capacity ? len : 0;
    if (len > 0) {
        memcpy(host, proxy, len);
    }
    host[len] = '\0';
    *port_out = colon != NULL ? (uint16_t)positive_number(colon + 1, UINT16_MAX) : 0;
    return proxy != NULL;
}

/* What the optional variables say about the way to the platform. */
static inline aliot_result set_way_from_environment(aliot_endpoint *endpoint)
{
    const char *websocket = variable("ALIOT_WEBSOCKET");
    const char *certificate = variable("ALIOT_CERTIFICATE_FILE");
    const char *key = variable("ALIOT_KEY_FILE");
    char host[256];
    uint16_t port;
    aliot_result result = ALIOT_RESULT_OK;

    if (proxy_from_environment(host, sizeof host, &port)) {
        result = variable("ALIOT_HTTP_PROXY") != NULL
                     ? aliot_endpoint_set_http_proxy(endpoint, host, port, NULL, NULL)
                     : aliot_endpoint_set_socks5_proxy(endpoint, host, port, NULL, NULL);
    }
    if (result == ALIOT_RESULT_OK && websocket != NULL) {
        result = aliot_endpoint_set_websocket(endpoint, websocket);
    }
    if (result == ALIOT_RESULT_OK && certificate != NULL) {
        result = aliot_endpoint_set_client_certificate_files(endpoint, certificate, key);
    }
    return result;
}

/* False after it has said what is wrong. */
static inline bool endpoint_from_environment(aliot_endpoint **endpoint_out)
{
    const char *instance = variable("ALIOT_INSTANCE");
    const char *region = variable("ALIOT_REGION");
    const char *host = variable("ALIOT_HOST");
    const char *port_text = variable("ALIOT_PORT");
    const char *server_name = variable("ALIOT_SERVER_NAME");
    const char *ca_file = variable("ALIOT_CA_FILE");
    uint16_t port = port_text != NULL ? (uint16_t)positive_number(port_text, UINT16_MAX) : 0;
    aliot_endpoint *endpoint = NULL;
    aliot_result result;

    if ((instance != NULL) + (region != NULL) + (host != NULL) != 1) {
        fprintf(stderr, "set one of ALIOT_INSTANCE, ALIOT_REGION and ALIOT_HOST: "
                        "where the platform is\n");
        return false;
    }
    if (port_text != NULL && port == 0) {
        fprintf(stderr, "ALIOT_PORT is %s: a port is a number from 1 to 65535\n", port_text);
        return false;
    }
    if (host != NULL && required("ALIOT_PORT", "ALIOT_HOST needs it") == NULL) {
        return false;
    }

    if (host != NULL) {
        result = aliot_endpoint_create_for_host(host, port, &endpoint);
    } else if (instance != NULL) {
        result = aliot_endpoint_create_for_instance(instance, &endpoint);
    } else if (variable("ALIOT_CERTIFICATE_FILE") != NULL) {
        result = aliot_endpoint_create_for_x509(region, &endpoint);
    } else {
        result = aliot_endpoint_create_for_region(region, &endpoint);
    }
    if (result == ALIOT_RESULT_OK && port != 0) {
        result = aliot_endpoint_set_port(endpoint, port);
    }
    if (result == ALIOT_RESULT_OK && server_name != NULL) {
        result = aliot_endpoint_set_server_name(endpoint, server_name);
    }
    if (result == ALIOT_RESULT_OK && ca_file != NULL) {
        result = aliot_endpoint_set_ca_file(endpoint, ca_file);
    }
    if (result == ALIOT_RESULT_OK) {
        result = set_way_from_environment(endpoint);
    }
    if (result != ALIOT_RESULT_OK) {
        fail("use the endpoint");
        aliot_endpoint_destroy(endpoint);
        return false;
    }
    *endpoint_out = endpoint;
    return true;
}

/* Some ends have no reason to give. */
static inline void print_end(const char *what, const char *reason)
{
    printf("%s%s%s\n", what, *reason != '\0' ? ": " : "", reason);
}

/* An event callback that tells a person what the connection does. */
static inline void print_event(aliot_client *client, const aliot_event *event, void *userdata)
{
    (void)client;
    (void)userdata;
    switch (event->kind) {
    case ALIOT_EVENT_KIND_CONNECTED:
        puts("connected");
        break;
    case ALIOT_EVENT_KIND_CONNECT_FAILED:
        print_end("not connected", event->text);
        break;
    case ALIOT_EVENT_KIND_DISCONNECTED:
        print_end("disconnected", event->text);
        break;
    case ALIOT_EVENT_KIND_SUBSCRIPTION_LOST: /* the text is the filter alone */
        print_end("the platform has not restored the subscription to", event->text);
        break;
    default: /* the library may have more to say, and a later version more still */
        if (*event->text != '\0') {
            puts(event->text);
        }
        break;
    }
    if (*event->hint != '\0') {
        printf("hint: %s\n", event->hint);
    }
    if (event->will_retry) {
        printf("next attempt in %lu ms\n", (unsigned long)event->retry_in_ms);
    }
}

#endif
