"""A device with the vendor's own Python package."""

import os
import sys
import threading

from linkkit import linkkit

host, port, ca_file, key, name, secret = sys.argv[1:]
done = threading.Event()
connected = threading.Event()
subscribed = threading.Event()

device = linkkit.LinkKit(
    host_name=host, product_key=key, device_name=name, device_secret=secret
)
device.config_mqtt(port=int(port), secure="TLS", keep_alive=60, cadata=open(ca_file).read())
device.config_device_info("eth|03ACDEFF0032|")


def on_connect(session_flag, code, userdata):
    if code == 0:
        connected.set()


def on_subscribe_topic(mid, granted, userdata):
    subscribed.set()


def on_topic_message(topic, payload, qos, userdata):
    text = payload.decode() if isinstance(payload, bytes) else payload
    if topic.endswith("/user/get"):
        print("got", text)
        done.set()


device.on_connect = on_connect
device.on_subscribe_topic = on_subscribe_topic
device.on_topic_message = on_topic_message
device.connect_async()
if not connected.wait(15):
    sys.exit("the package never connects")
device.publish_topic(f"/{key}/{name}/user/update", "hello", 1)
device.subscribe_topic(f"/{key}/{name}/user/get")
if not subscribed.wait(15):
    sys.exit("the package never subscribes")
print("subscribed")
finished = done.wait(15)
sys.stdout.flush()
# Without its disconnect(): its threads share the TLS socket without a lock, so that now and then it
# fails or waits for ever. They outlive the connection, too.
os._exit(0 if finished else 1)
