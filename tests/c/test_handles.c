/* Handles are names: stale, doubled, foreign and NULL ones are errors, never accidents. */
#include "fixture.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

static void null_is_refused_by_name(void)
{
    CHECK_FAILS(aliot_client_start(NULL), ALIOT_RESULT_NULL_POINTER, "client is NULL");
    CHECK_FAILS(aliot_config_set_window(NULL, 1), ALIOT_RESULT_NULL_POINTER, "config is NULL");
    CHECK_FAILS(aliot_endpoint_set_port(NULL, 1), ALIOT_RESULT_NULL_POINTER, "endpoint is NULL");
    CHECK_FAILS(aliot_runtime_poll(NULL, 0, NULL), ALIOT_RESULT_NULL_POINTER, "runtime is NULL");
    CHECK(aliot_identity_product_key(NULL) == NULL);
    CHECK(!aliot_identity_has_token(NULL));
    CHECK(aliot_credentials_password(NULL) == NULL);
    CHECK(aliot_runtime_fd(NULL) == -1);
    CHECK(aliot_client_state(NULL) == ALIOT_STATE_STOPPED);
    CHECK(aliot_client_counter(NULL, ALIOT_COUNTER_CONNECTS) == 0);
}

static void destroying_null_does_nothing(void)
{
    aliot_identity_destroy(NULL);
    aliot_endpoint_destroy(NULL);
    aliot_config_destroy(NULL);
    aliot_credentials_destroy(NULL);
    aliot_runtime_destroy(NULL);
    aliot_client_destroy(NULL);
}

static void a_destroyed_handle_is_bad(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = fixture_config();
    aliot_credentials *credentials = NULL;
    aliot_runtime *runtime = NULL;
    aliot_client *client = fixture_client();
    CHECK_OK(aliot_credentials_create(config, &credentials));
    CHECK_OK(aliot_runtime_create(ALIOT_DISPATCH_THREAD, &runtime));

    for (int twice = 0; twice < 2; twice++) {
        aliot_identity_destroy(identity);
        aliot_endpoint_destroy(endpoint);
        aliot_config_destroy(config);
        aliot_credentials_destroy(credentials);
        aliot_runtime_destroy(runtime);
        aliot_client_destroy(client);
    }

    aliot_config *config_out = NULL;
    aliot_client *client_out = NULL;
    CHECK(aliot_identity_secret(identity) == NULL);
    CHECK(aliot_credentials_username(credentials) == NULL);
    CHECK_FAILS(aliot_config_create(identity, endpoint, &config_out), ALIOT_RESULT_BAD_HANDLE,
                "no live identity has the handle");
    CHECK_FAILS(aliot_endpoint_set_port(endpoint, 1883), ALIOT_RESULT_BAD_HANDLE, "endpoint");
    CHECK_FAILS(aliot_client_create(config, &client_out), ALIOT_RESULT_BAD_HANDLE, "config");
    CHECK_FAILS(aliot_runtime_poll(runtime, 0, NULL), ALIOT_RESULT_BAD_HANDLE, "runtime");
    CHECK_FAILS(aliot_client_publish(client, "/t", "x", 1, ALIOT_QOS_AT_MOST_ONCE, NULL),
                ALIOT_RESULT_BAD_HANDLE, "client");
    CHECK(aliot_client_state(client) == ALIOT_STATE_STOPPED);
    CHECK(config_out == NULL);
    CHECK(client_out == NULL);
}

static void a_handle_of_another_type_is_bad(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_config *config = NULL;
    CHECK_FAILS(aliot_config_create((aliot_identity *)endpoint, endpoint, &config),
                ALIOT_RESULT_BAD_HANDLE, "identity");
    CHECK_FAILS(aliot_config_create(identity, (aliot_endpoint *)identity, &config),
                ALIOT_RESULT_BAD_HANDLE, "endpoint");
    aliot_client_destroy((aliot_client *)identity);
    CHECK(strcmp(aliot_identity_product_key(identity), "pk") == 0);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

static void a_pointer_of_the_application_is_a_bad_handle(void)
{
    int here = 0;
    aliot_client *client = (aliot_client *)(void *)&here;
    CHECK_FAILS(aliot_client_start(client), ALIOT_RESULT_BAD_HANDLE, "client");
    aliot_client_destroy(client);
    client = (aliot_client *)UINTPTR_MAX;
    CHECK_FAILS(aliot_client_start(client), ALIOT_RESULT_BAD_HANDLE, "client");
}

static void a_handle_is_never_given_out_again(void)
{
    aliot_identity *first = fixture_identity();
    aliot_identity_destroy(first);
    for (int round = 0; round < 1000; round++) {
        aliot_identity *next = fixture_identity();
        CHECK(next != first);
        aliot_identity_destroy(next);
    }
    CHECK(aliot_identity_product_key(first) == NULL);
}

static void objects_outlive_what_they_were_made_from(void)
{
    aliot_config *config = fixture_config(); /* identity and endpoint are gone */
    aliot_credentials *credentials = NULL;
    CHECK_OK(aliot_credentials_create(config, &credentials));
    aliot_config_destroy(config);
    CHECK(strcmp(aliot_credentials_username(credentials), "device&pk") == 0);
    aliot_credentials_destroy(credentials);
}

/* A child has no threads of the library: it must get errors, and must get them soon. */
static void a_forked_child_gets_errors_and_never_hangs(void)
{
    aliot_identity *identity = fixture_identity();
    aliot_endpoint *endpoint = fixture_endpoint();
    aliot_client *client = fixture_client();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30);
        aliot_identity *mine = NULL;
        CHECK_FAILS(aliot_client_start(client), ALIOT_RESULT_BAD_HANDLE, "fork");
        CHECK_FAILS(aliot_client_publish(client, "/t", "x", 1, ALIOT_QOS_AT_MOST_ONCE, NULL),
                    ALIOT_RESULT_BAD_HANDLE, "fork");
        CHECK_FAILS(aliot_client_wait_connected(client, 1000), ALIOT_RESULT_BAD_HANDLE, "fork");
        CHECK_FAILS(aliot_endpoint_set_port(endpoint, 1), ALIOT_RESULT_BAD_HANDLE, "fork");
        CHECK_FAILS(aliot_identity_create("pk", "device", "secret", &mine),
                    ALIOT_RESULT_INVALID_STATE, "fork");
        CHECK_FAILS(aliot_log_set_callback(ALIOT_LOG_LEVEL_OFF, NULL, NULL, NULL),
                    ALIOT_RESULT_INVALID_STATE, "fork");
        CHECK(aliot_client_state(client) == ALIOT_STATE_STOPPED);
        CHECK(aliot_identity_product_key(identity) == NULL);
        aliot_client_destroy(client);
        aliot_endpoint_destroy(endpoint);
        /* Not exit: the memory of threads that are not in the child would count as leaked. */
        raise(SIGKILL);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_OK(aliot_endpoint_set_port(endpoint, 1));
    aliot_client_destroy(client);
    aliot_endpoint_destroy(endpoint);
    aliot_identity_destroy(identity);
}

int main(void)
{
    CHECK(ALIOT_VERSION_MATCHES());
    RUN(null_is_refused_by_name);
    RUN(destroying_null_does_nothing);
    RUN(a_destroyed_handle_is_bad);
    RUN(a_handle_of_another_type_is_bad);
    RUN(a_pointer_of_the_application_is_a_bad_handle);
    RUN(a_handle_is_never_given_out_again);
    RUN(objects_outlive_what_they_were_made_from);
    RUN(a_forked_child_gets_errors_and_never_hangs);
    return 0;
}
