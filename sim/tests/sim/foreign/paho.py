"""A device with paho's Python client, signing as the platform's page says."""

import hashlib
import hmac
import ssl
import sys

import paho.mqtt.client as mqtt

host, port, ca_file, key, name, secret = sys.argv[1:]
client_id = "12345"
content = f"clientId{client_id}deviceName{name}productKey{key}timestamp789"
password = hmac.new(secret.encode(), content.encode(), hashlib.sha1).hexdigest()
full_id = f"{client_id}|securemode=2,signmethod=hmacsha1,timestamp=789|"
arguments = {"client_id": full_id, "protocol": mqtt.MQTTv311}
if hasattr(mqtt, "CallbackAPIVersion"):
    arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
client = mqtt.Client(**arguments)
client.username_pw_set(f"{name}&{key}", password)
client.tls_set(ca_file, cert_reqs=ssl.CERT_REQUIRED)
status = 1


def on_connect(client, userdata, flags, code):
    if code != 0:
        sys.exit(f"refused with code {code}")
    client.publish(f"/{key}/{name}/user/update", "hello", qos=1)


def on_publish(client, userdata, mid):
    client.subscribe(f"/{key}/{name}/user/get", qos=1)


def on_subscribe(client, userdata, mid, granted):
    print("subscribed")


def on_message(client, userdata, message):
    global status
    print("got", message.payload.decode())
    status = 0
    client.disconnect()


client.on_connect = on_connect
client.on_publish = on_publish
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect(host, int(port), keepalive=60)
client.loop_forever()
sys.exit(status)
