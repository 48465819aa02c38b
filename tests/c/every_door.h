/* The rest of every_call.h: how a device comes to an identity, and the ways to the platform. */
#ifndef EVERY_DOOR_H
#define EVERY_DOOR_H

static bool ignore_store(const aliot_identity *identity, void *userdata)
{
    (void)identity;
    (void)userdata;
    return true;
}

static bool ignore_end(const aliot_registration_end *end, void *userdata)
{
    (void)end;
    (void)userdata;
    return true;
}

#define ON_REGISTRATION(function, ...) \
    static aliot_result call_##function(aliot_client *client) \
    { \
        aliot_registration *registration = fixture_registration(); \
        (void)client; \
        aliot_result result = function(registration, __VA_ARGS__); \
        aliot_registration_destroy(registration); \
        return result; \
    }

AS_TEST(aliot_registration_create, aliot_registration_destroy(fixture_registration()))
ON_REGISTRATION(aliot_registration_set_sign_method, ALIOT_SIGN_METHOD_HMAC_SHA1)
ON_REGISTRATION(aliot_registration_set_client_id, "id")
ON_REGISTRATION(aliot_registration_set_instance_id, "iot-instance")
ON_REGISTRATION(aliot_registration_set_mode, ALIOT_REGISTRATION_MODE_PUBLIC)
ON_REGISTRATION(aliot_registration_set_connects_per_minute, 0)
ON_REGISTRATION(aliot_registration_start, NULL, 1000, ignore_end, NULL, NULL)
static aliot_result call_aliot_registration_run(aliot_client *client)
{
    aliot_registration *registration = fixture_registration();
    aliot_identity *identity = NULL;
    (void)client;
    aliot_result result = aliot_registration_run(registration, 1000, ignore_store, NULL, &identity);
    aliot_registration_destroy(registration);
    return result;
}
static aliot_result call_aliot_identity_register(aliot_client *client)
{
    aliot_endpoint *endpoint = NULL;
    aliot_identity *identity = NULL;
    (void)client;
    CHECK_OK(aliot_endpoint_create_for_host("127.0.0.1", 1, &endpoint));
    aliot_result result =
        aliot_identity_register(endpoint, "pk", "device", "product-secret",
                                ALIOT_REGISTRATION_KIND_CREATE_DEVICE, 1000, &identity);
    aliot_endpoint_destroy(endpoint);
    return result;
}

static aliot_result call_aliot_identity_load(aliot_client *client)
{
    aliot_identity *identity = NULL;
    aliot_identity *by_certificate = NULL;
    (void)client;
    CHECK_OK(aliot_identity_create_with_certificate("", "", &by_certificate));
    CHECK(aliot_identity_save(by_certificate, "/no/such/folder/identity") ==
          ALIOT_RESULT_FILE_ACCESS);
    aliot_identity_destroy(by_certificate);
    return aliot_identity_load("/no/such/file", &identity);
}

ON_ENDPOINT(aliot_endpoint_add_ca_pem, "x", 1)
ON_ENDPOINT(aliot_endpoint_add_ca_file, "/no/such/file")
ON_ENDPOINT(aliot_endpoint_pin_server_key,
            "0000000000000000000000000000000000000000000000000000000000000000")
ON_ENDPOINT(aliot_endpoint_set_tls_versions, ALIOT_TLS_VERSIONS_ONLY12)
ON_ENDPOINT(aliot_endpoint_set_expiry_warning_days, 10)
ON_ENDPOINT(aliot_endpoint_set_client_certificate_pem, "x", 1, "x", 1)
ON_ENDPOINT(aliot_endpoint_set_client_certificate_files, "/no/such/file", "/no/such/file")
ON_ENDPOINT(aliot_endpoint_set_http_proxy, "proxy.example", 3128, "user", "password")
ON_ENDPOINT(aliot_endpoint_set_socks5_proxy, "proxy.example", 1080, NULL, NULL)
ON_ENDPOINT(aliot_endpoint_set_websocket, "/mqtt")
ON_ENDPOINT(aliot_endpoint_set_local_address, "127.0.0.1")
ON_ENDPOINT(aliot_endpoint_set_interface, "lo")
ON_ENDPOINT(aliot_endpoint_set_address_family, ALIOT_ADDRESS_FAMILY_ONLY_IPV4)
static aliot_result call_aliot_endpoint_create_for_x509(aliot_client *client)
{
    aliot_endpoint *endpoint = NULL;
    (void)client;
    CHECK_OK(aliot_endpoint_create_for_x509("cn-shanghai", &endpoint));
    /* Reading the roots of a whole system takes too long under valgrind. */
    CHECK(aliot_endpoint_use_system_roots(NULL) == ALIOT_RESULT_NULL_POINTER);
    CHECK(aliot_endpoint_add_system_roots(NULL) == ALIOT_RESULT_NULL_POINTER);
    aliot_endpoint_destroy(endpoint);
    return ALIOT_RESULT_OK;
}

static uint64_t no_better_clock(void *userdata)
{
    (void)userdata;
    return 0;
}

static aliot_result call_aliot_clock_set_callback(aliot_client *client)
{
    (void)client;
    CHECK_OK(aliot_clock_set_callback(no_better_clock, NULL, NULL));
    CHECK_OK(aliot_clock_set_floor_s(1700000000));
    return aliot_clock_set_callback(NULL, NULL, NULL);
}

#endif
