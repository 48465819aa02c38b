/* The objects that most tests start from. Nothing listens where the endpoint points to. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "check.h"

static inline aliot_identity *fixture_identity(void)
{
    aliot_identity *identity = NULL;
    CHECK_OK(aliot_identity_create("pk", "device", "secret", &identity));
    return identity;
}

static inline aliot_endpoint *fixture_endpoint(void)
{
    aliot_endpoint *endpoint = NULL;
    CHECK_OK(aliot_endpoint_create_for_host("127.0.0.1", 1, &endpoint));
    CHECK_OK(aliot_endpoint_set_dangerous_plaintext(endpoint));
    return endpoint;
}

static inline aliot_config *fixture_config(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = NULL;
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return config;
}

static inline aliot_client *fixture_client(void)
{
    aliot_config *config = fixture_config();
    aliot_client *client = NULL;
    CHECK_OK(aliot_client_create(config, &client));
    aliot_config_destroy(config);
    return client;
}

/* Of a device whose platform does not answer on any port. */
static inline aliot_registration *fixture_registration(void)
{
    aliot_registration *registration = NULL;
    aliot_endpoint *endpoint = NULL;
    CHECK_OK(aliot_endpoint_create_for_host("127.0.0.1", 1, &endpoint));
    CHECK_OK(aliot_registration_create(endpoint, "pk", "device", "product-secret",
                                       ALIOT_REGISTRATION_KIND_PREREGISTERED, &registration));
    aliot_endpoint_destroy(endpoint);
    return registration;
}

#endif
