// As main.c, in the manner of C++: handles in unique_ptr, callbacks from lambdas.

#include <aliot.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

template <typename T, void (*destroy)(T *)>
struct Destroy {
    void operator()(T *handle) const { destroy(handle); }
};

template <typename T, void (*destroy)(T *)>
using Handle = std::unique_ptr<T, Destroy<T, destroy>>;

using Identity = Handle<aliot_identity, aliot_identity_destroy>;
using Endpoint = Handle<aliot_endpoint, aliot_endpoint_destroy>;
using Config = Handle<aliot_config, aliot_config_destroy>;
using Client = Handle<aliot_client, aliot_client_destroy>;

void check(aliot_result result)
{
    if (result != ALIOT_RESULT_OK) {
        std::string reason(512, '\0');
        reason.resize(std::min(aliot_last_error(&reason[0], reason.size()), reason.size() - 1));
        throw std::runtime_error(std::string(aliot_result_name(result)) + ": " + reason);
    }
}

// Calls a function that makes an object through its last parameter.
template <typename H, typename... Parameters, typename... Arguments>
H make(aliot_result (*create)(Parameters...), Arguments... arguments)
{
    typename H::pointer handle = nullptr;
    check(create(arguments..., &handle));
    return H(handle);
}

std::string variable(const char *name)
{
    const char *value = std::getenv(name);
    return value != nullptr ? value : "";
}

void publish(const std::string &host)
{
    std::atomic<int> acknowledged{0};
    auto identity = make<Identity>(aliot_identity_create, variable("ALIOT_PRODUCT_KEY").c_str(),
                                   variable("ALIOT_DEVICE_NAME").c_str(),
                                   variable("ALIOT_DEVICE_SECRET").c_str());
    auto port = static_cast<std::uint16_t>(std::stoi(variable("ALIOT_PORT")));
    auto endpoint = make<Endpoint>(aliot_endpoint_create_for_host, host.c_str(), port);
    check(aliot_endpoint_set_ca_file(endpoint.get(), variable("ALIOT_CA_FILE").c_str()));
    auto config = make<Config>(aliot_config_create, identity.get(), endpoint.get());
    auto client = make<Client>(aliot_client_create, config.get());
    std::string topic(129, '\0');
    check(aliot_topic_user(identity.get(), "update", &topic[0], topic.size()));

    check(aliot_client_set_completion_callback(
        client.get(),
        [](aliot_client *, const aliot_completion *completion, void *userdata) {
            if (completion->result == ALIOT_RESULT_OK) {
                ++*static_cast<std::atomic<int> *>(userdata);
            }
        },
        &acknowledged, nullptr));
    check(aliot_client_start(client.get()));
    check(aliot_client_publish(client.get(), topic.c_str(), "consumer", 8,
                               ALIOT_QOS_AT_LEAST_ONCE, nullptr));
    check(aliot_client_wait_flushed(client.get(), 30000));
    client.reset(); // after this no callback runs
    if (acknowledged != 1) {
        throw std::runtime_error("the message was not acknowledged");
    }
}

} // namespace

int main(int argc, char **argv)
{
    const std::string version = aliot_version_string();
    std::cout << "aliot " << version << '\n';
    if (argc != 2 || version != argv[1] || !ALIOT_VERSION_MATCHES()) {
        return 1;
    }
    try {
        if (!variable("ALIOT_HOST").empty()) {
            publish(variable("ALIOT_HOST"));
        }
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
