/* Signatures and credentials against published and independently computed values. */
#include "fixture.h"

typedef struct vector {
    aliot_sign_method method;
    const char *key;
    const char *content;
    const char *digits;
} vector;

#define SEED "clientId12345deviceNamedeviceproductKeypktimestamp789"
#define REGISTRATION "deviceNamedevice1productKeyal123456789random123"

/* The first is the platform's own example ("Establish MQTT connections"); the others were computed
 * with another implementation of HMAC. */
static const vector VECTORS[] = {
    {ALIOT_SIGN_METHOD_HMAC_SHA1, "secret", SEED, "FAFD82A3D602B37FB0FA8B7892F24A477F851A14"},
    {ALIOT_SIGN_METHOD_HMAC_MD5, "secret", SEED, "14B198324FE55E1D3C88F2E705E201EE"},
    {ALIOT_SIGN_METHOD_HMAC_SHA256, "secret", SEED,
     "6074A46A91B1EBB2CC4EA42790AD0E80202C9843859FC292E57C4EB19FAD9E57"},
    {ALIOT_SIGN_METHOD_HMAC_SHA256, "secret", "clientId12345deviceNamedeviceproductKeypk",
     "C8CB3DCB7159682438E5FD9A9C34F398E41BB8EDB6F222795E307BAFEE151090"},
    {ALIOT_SIGN_METHOD_HMAC_SHA1, "secret", "deviceNamedeviceproductKeypk",
     "EF1338106EBF173868958116F51797C8B9149855"},
    {ALIOT_SIGN_METHOD_HMAC_SHA256, "secret",
     "clientIdpk.devicedeviceNamedeviceproductKeypktimestamp2524608000000",
     "2EAB47D05EC94FAB1A34E7E9F54AEBD34A1E15770F932E05300193007E0091E9"},
    {ALIOT_SIGN_METHOD_HMAC_SHA1, "h1nQFYPZS0mW", REGISTRATION,
     "4148B1335997E4C72DA2A8C2D43DEBE0FC0136D5"},
    {ALIOT_SIGN_METHOD_HMAC_SHA256, "h1nQFYPZS0mW", REGISTRATION,
     "3398FAB2C3E7900419070FCEBBDFA9E3CB39F680EBE24E827E26F004C2D22E16"},
    {ALIOT_SIGN_METHOD_HMAC_SHA256, "secret", "idpk&devicetimestamp2524608000000",
     "8B822A077426D2593B379A8B41768D89F550AC70C5926D2BF5B80D4A9A836B27"},
    {ALIOT_SIGN_METHOD_SHA256, "secret", SEED,
     "616393E41B5065E42EBFBBAE30808C20AF3FBD7F4939068FBDE19F20566BBC8C"},
};

static void every_vector_is_signed_as_expected(void)
{
    for (size_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        const vector *v = &VECTORS[i];
        char digits[65];
        CHECK_OK(aliot_sign(v->method, v->key, strlen(v->key), v->content, strlen(v->content),
                            digits, sizeof digits));
        CHECK(strcmp(digits, v->digits) == 0);
    }
}

static void the_buffer_must_hold_the_digits_and_the_nul(void)
{
    char digits[66];
    memset(digits, 'x', sizeof digits);
    CHECK_FAILS(aliot_sign(ALIOT_SIGN_METHOD_HMAC_SHA256, "k", 1, "c", 1, digits, 64),
                ALIOT_RESULT_BUFFER_TOO_SMALL, "capacity is 64: 65 bytes are needed");
    CHECK(digits[0] == 'x');
    CHECK_OK(aliot_sign(ALIOT_SIGN_METHOD_HMAC_SHA256, "k", 1, "c", 1, digits, 65));
    CHECK(strlen(digits) == 64);
    CHECK(digits[65] == 'x');
}

static void check_credentials(aliot_config *config, const char *client_id, const char *password)
{
    aliot_credentials *credentials = NULL;
    CHECK_OK(aliot_credentials_create(config, &credentials));
    CHECK(strcmp(aliot_credentials_client_id(credentials), client_id) == 0);
    CHECK(strcmp(aliot_credentials_username(credentials), "device&pk") == 0);
    CHECK(strcmp(aliot_credentials_password(credentials), password) == 0);
    aliot_credentials_destroy(credentials);
}

static aliot_config *config_with_tls(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = NULL;
    aliot_config *config = NULL;
    CHECK_OK(aliot_endpoint_create_for_region("cn-shanghai", &endpoint));
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
    return config;
}

static void the_defaults_make_the_vendors_credentials(void)
{
    aliot_config *config = config_with_tls();
    check_credentials(
        config, "pk.device|securemode=2,signmethod=hmacsha256,timestamp=2524608000000,ext=2|",
        "2EAB47D05EC94FAB1A34E7E9F54AEBD34A1E15770F932E05300193007E0091E9");
    CHECK_OK(aliot_config_set_hex_case(config, ALIOT_HEX_CASE_LOWER));
    check_credentials(
        config, "pk.device|securemode=2,signmethod=hmacsha256,timestamp=2524608000000,ext=2|",
        "2eab47d05ec94fab1a34e7e9f54aebd34a1e15770f932e05300193007e0091e9");
    aliot_config_destroy(config);
}

static void the_pages_example_comes_out_to_the_letter(void)
{
    aliot_config *config = fixture_config(); /* without TLS, as in the example */
    CHECK_OK(aliot_config_set_client_id(config, "12345"));
    CHECK_OK(aliot_config_set_timestamp(config, "789"));
    CHECK_OK(aliot_config_set_sign_method(config, ALIOT_SIGN_METHOD_HMAC_SHA1));
    CHECK_OK(aliot_config_set_kick_notice(config, false));
    check_credentials(config, "12345|securemode=3,signmethod=hmacsha1,timestamp=789|",
                      "FAFD82A3D602B37FB0FA8B7892F24A477F851A14");
    CHECK_OK(aliot_config_set_timestamp(config, NULL));
    CHECK_OK(aliot_config_set_sign_method(config, ALIOT_SIGN_METHOD_HMAC_SHA256));
    check_credentials(config, "12345|securemode=3,signmethod=hmacsha256|",
                      "C8CB3DCB7159682438E5FD9A9C34F398E41BB8EDB6F222795E307BAFEE151090");
    CHECK_OK(aliot_config_set_sign_client_id(config, false));
    CHECK_OK(aliot_config_set_sign_method(config, ALIOT_SIGN_METHOD_HMAC_SHA1));
    CHECK_OK(aliot_config_add_client_param(config, "_v", "1"));
    check_credentials(config, "12345|securemode=3,signmethod=hmacsha1,_v=1|",
                      "EF1338106EBF173868958116F51797C8B9149855");
    aliot_config_destroy(config);
}

static void verbatim_credentials_pass_unchanged(void)
{
    aliot_identity *identity = NULL;
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = NULL;
    aliot_credentials *credentials = NULL;
    CHECK_OK(aliot_identity_create_verbatim("any|id|", "some&one", "pass word", &identity));
    CHECK(strcmp(aliot_identity_username(identity), "some&one") == 0);
    CHECK(strcmp(aliot_identity_product_key(identity), "") == 0);
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    CHECK_OK(aliot_credentials_create(config, &credentials));
    CHECK(strcmp(aliot_credentials_client_id(credentials), "any|id|") == 0);
    CHECK(strcmp(aliot_credentials_username(credentials), "some&one") == 0);
    CHECK(strcmp(aliot_credentials_password(credentials), "pass word") == 0);
    aliot_credentials_destroy(credentials);
    aliot_config_destroy(config);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

static void topics_are_built_and_matched(void)
{
    aliot_identity *identity = fixture_identity();
    char topic[129];
    bool matches = false;
    CHECK_OK(aliot_topic_user(identity, "update", topic, sizeof topic));
    CHECK(strcmp(topic, "/pk/device/user/update") == 0);
    CHECK_OK(aliot_topic_matches("/pk/+/user/#", topic, &matches));
    CHECK(matches);
    CHECK_OK(aliot_topic_sys(identity, "thing/event/property/post", topic, sizeof topic));
    CHECK(strcmp(topic, "/sys/pk/device/thing/event/property/post") == 0);
    CHECK_OK(aliot_topic_matches("/pk/+/user/#", topic, &matches));
    CHECK(!matches);
    aliot_identity_destroy(identity);
}

int main(void)
{
    RUN(every_vector_is_signed_as_expected);
    RUN(the_buffer_must_hold_the_digits_and_the_nul);
    RUN(the_defaults_make_the_vendors_credentials);
    RUN(the_pages_example_comes_out_to_the_letter);
    RUN(verbatim_credentials_pass_unchanged);
    RUN(topics_are_built_and_matched);
    return 0;
}
