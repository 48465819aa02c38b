/* Credentials that were made elsewhere are explained, and never repeated. */
#include "fixture.h"

static const char SECRET[] = "canary-device-secret";
static const char PRODUCT_SECRET[] = "canary-product-secret";

static aliot_identity *identity;
static aliot_endpoint *endpoint;
static aliot_credentials *credentials;

static void set_up(void)
{
    aliot_config *config = NULL;
    CHECK_OK(aliot_identity_create("pk", "device", SECRET, &identity));
    CHECK_OK(aliot_endpoint_create_for_region("cn-shanghai", &endpoint));
    CHECK_OK(aliot_config_create(identity, endpoint, &config));
    CHECK_OK(aliot_credentials_create(config, &credentials));
    aliot_config_destroy(config);
}

static void tear_down(void)
{
    aliot_credentials_destroy(credentials);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

/* NULL stands for what the library itself would send. */
static void check_finding(const char *client_id, const char *username, const char *password,
                          aliot_sign_finding expected, const char *part)
{
    char text[2048];
    aliot_sign_finding finding = ALIOT_SIGN_FINDING_UNEXPLAINED;
    CHECK_OK(aliot_sign_check(
        identity, PRODUCT_SECRET, endpoint,
        client_id != NULL ? client_id : aliot_credentials_client_id(credentials),
        username != NULL ? username : aliot_credentials_username(credentials),
        password != NULL ? password : aliot_credentials_password(credentials), &finding, text,
        sizeof text));
    if (finding != expected || strstr(text, part) == NULL) {
        fprintf(stderr, "%d: %s\n", (int)finding, text);
        CHECK(!"the finding is the expected one");
    }
    CHECK(strstr(text, "canary") == NULL);
    CHECK(strstr(text, aliot_credentials_password(credentials)) == NULL);
}

static void what_is_right_matches(void)
{
    check_finding(NULL, NULL, NULL, ALIOT_SIGN_FINDING_MATCHES, "match");
}

static void what_is_wrong_is_named(void)
{
    char password[65];
    check_finding("pk.device", NULL, NULL, ALIOT_SIGN_FINDING_CLIENT_ID_FORM, "both bars");
    check_finding(NULL, "pk&device", NULL, ALIOT_SIGN_FINDING_USERNAME_SWAPPED, "device&pk");
    check_finding(NULL, NULL, SECRET, ALIOT_SIGN_FINDING_SECRET_SENT, "itself");
    check_finding(NULL, NULL, "00", ALIOT_SIGN_FINDING_PASSWORD_FORM, "2 digits");
    const char content[] = "clientIdpk.devicedeviceNamedeviceproductKeypktimestamp2524608000000";
    CHECK_OK(aliot_sign(ALIOT_SIGN_METHOD_HMAC_SHA256, PRODUCT_SECRET, strlen(PRODUCT_SECRET),
                        content, strlen(content), password, sizeof password));
    check_finding(NULL, NULL, password, ALIOT_SIGN_FINDING_PRODUCT_SECRET, "device secret");
}

static void the_transport_counts_if_it_is_given(void)
{
    aliot_sign_finding finding = ALIOT_SIGN_FINDING_UNEXPLAINED;
    const char *client_id = aliot_credentials_client_id(credentials);
    const char *username = aliot_credentials_username(credentials);
    const char *password = aliot_credentials_password(credentials);
    CHECK_OK(aliot_endpoint_set_dangerous_plaintext(endpoint));
    check_finding(NULL, NULL, NULL, ALIOT_SIGN_FINDING_SECURE_MODE, "securemode=3");
    CHECK_OK(aliot_sign_check(identity, NULL, NULL, client_id, username, password, &finding, NULL,
                              0));
    CHECK(finding == ALIOT_SIGN_FINDING_MATCHES);
}

static void a_short_buffer_gets_the_beginning(void)
{
    char text[9] = "12345678";
    aliot_sign_finding finding = ALIOT_SIGN_FINDING_MATCHES;
    CHECK_OK(aliot_sign_check(identity, NULL, NULL, "", "", "", &finding, text, sizeof text));
    CHECK(finding == ALIOT_SIGN_FINDING_CLIENT_ID_FORM);
    CHECK(strcmp(text, "client i") == 0);
}

static void bad_arguments_are_refused_and_nothing_is_stored(void)
{
    const aliot_result null = ALIOT_RESULT_NULL_POINTER;
    const aliot_sign_finding before = ALIOT_SIGN_FINDING_UNEXPLAINED;
    aliot_sign_finding out = before;
    aliot_identity *verbatim = NULL;
    aliot_identity *by_certificate = NULL;
    CHECK_FAILS(aliot_sign_check(NULL, NULL, NULL, "", "", "", &out, NULL, 0), null, "identity");
    CHECK_FAILS(aliot_sign_check(identity, NULL, NULL, NULL, "", "", &out, NULL, 0), null,
                "client_id");
    CHECK_FAILS(aliot_sign_check(identity, NULL, NULL, "", NULL, "", &out, NULL, 0), null,
                "username");
    CHECK_FAILS(aliot_sign_check(identity, NULL, NULL, "", "", NULL, &out, NULL, 0), null,
                "password");
    CHECK_FAILS(aliot_sign_check(identity, NULL, NULL, "", "", "", NULL, NULL, 0), null,
                "finding_out");
    CHECK_FAILS(aliot_sign_check(identity, "\xff", NULL, "", "", "", &out, NULL, 0),
                ALIOT_RESULT_INVALID_UTF8, "product_secret");
    CHECK_FAILS(aliot_sign_check(identity, NULL, (aliot_endpoint *)identity, "", "", "", &out,
                                 NULL, 0),
                ALIOT_RESULT_BAD_HANDLE, "endpoint");
    CHECK_OK(aliot_identity_create_verbatim("id", "user", "pass", &verbatim));
    CHECK_FAILS(aliot_sign_check(verbatim, NULL, NULL, "", "", "", &out, NULL, 0),
                ALIOT_RESULT_INVALID_ARGUMENT, "identity does not sign");
    aliot_identity_destroy(verbatim);
    CHECK_OK(aliot_identity_create_with_certificate("pk", "device", &by_certificate));
    CHECK_FAILS(aliot_sign_check(by_certificate, NULL, NULL, "", "", "", &out, NULL, 0),
                ALIOT_RESULT_INVALID_ARGUMENT, "identity does not sign");
    aliot_identity_destroy(by_certificate);
    CHECK(out == before);
}

int main(void)
{
    set_up();
    RUN(what_is_right_matches);
    RUN(what_is_wrong_is_named);
    RUN(a_short_buffer_gets_the_beginning);
    RUN(bad_arguments_are_refused_and_nothing_is_stored);
    RUN(the_transport_counts_if_it_is_given);
    tear_down();
    return 0;
}
