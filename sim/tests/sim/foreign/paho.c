/* A device with paho's C client: paho ADDRESS CLIENT_ID USER_NAME PASSWORD CA_FILE */

#include <MQTTClient.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *doing, int code)
{
    fprintf(stderr, "paho: could not %s: %d\n", doing, code);
    return 1;
}

int main(int argc, char **argv)
{
    MQTTClient client;
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    MQTTClient_message hello = MQTTClient_message_initializer;
    MQTTClient_message *message = NULL;
    MQTTClient_deliveryToken token;
    char *topic = NULL;
    int topic_len = 0;
    int code;

    if (argc != 6) {
        return fail("start", argc);
    }
    tls.trustStore = argv[5];
    tls.verify = 1;
    options.username = argv[3];
    options.password = argv[4];
    options.keepAliveInterval = 60;
    options.MQTTVersion = MQTTVERSION_3_1_1;
    options.ssl = &tls;
    code = MQTTClient_create(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("create", code);
    }
    code = MQTTClient_connect(client, &options);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("connect", code);
    }
    hello.payload = "hello";
    hello.payloadlen = 5;
    hello.qos = 1;
    MQTTClient_publishMessage(client, "/pk/dn/user/update", &hello, &token);
    code = MQTTClient_waitForCompletion(client, token, 10000);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("publish", code);
    }
    code = MQTTClient_subscribe(client, "/pk/dn/user/get", 1);
    if (code != MQTTCLIENT_SUCCESS) {
        return fail("subscribe", code);
    }
    puts("subscribed");
    fflush(stdout);
    code = MQTTClient_receive(client, &topic, &topic_len, &message, 15000);
    if (message == NULL) {
        return fail("receive", code);
    }
    printf("got %.*s\n", message->payloadlen, (char *)message->payload);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    MQTTClient_disconnect(client, 1000);
    MQTTClient_destroy(&client);
    return 0;
}
