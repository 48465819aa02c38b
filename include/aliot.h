/*
 * aliot - device client for Alibaba Cloud IoT Platform, over MQTT 3.1.1.
 * Generated from src/ffi. Do not edit: change the Rust source and bless the header.
 *
 * The objects:
 *
 *   aliot_identity       who the device is           product key, device name, secret or token
 *   aliot_endpoint       where the platform is       region, instance or host; TLS
 *   aliot_config         both, and how to behave     keep-alive, reconnecting, limits
 *   aliot_client         the connection              callbacks, topics, messages
 *   aliot_runtime        the threads of clients      optional: they share one by default
 *   aliot_registration   how to get an identity      for devices that know only their product's
 *                                                    secret
 *   aliot_credentials    what CONNECT carries        for firmware with its own MQTT stack
 *
 * OBJECTS    Created through the last parameter of a function, destroyed by the function whose
 *            name ends in _destroy. A handle is a name, not an address: after _destroy, functions
 *            return ALIOT_RESULT_BAD_HANDLE and accessors NULL, 0 or false. Destroying NULL, or
 *            destroying twice, does nothing. Destroying an object never affects another one.
 * OWNERSHIP  The library copies what it is given before the call returns and never frees memory
 *            of the application. A const char * from an accessor lives as long as its object.
 *            Pointers inside an event, message or completion live until the callback returns.
 * USER DATA  Belongs to the library from the ALIOT_RESULT_OK of the call that took it until the
 *            library calls `release`, exactly once, after the last callback that could use it.
 *            After any other result the library has not touched it. `release` may be NULL.
 * ERRORS     Functions that can fail return aliot_result and store nothing through their output
 *            parameters unless they return ALIOT_RESULT_OK. aliot_last_error explains the last
 *            failure on this thread, and the functions beside it give its stage, the system's error
 *            number, the code of a CONNACK and a hint. Later failures arrive in an event or in the
 *            end of a registration, which carry the same, or in a completion, which carries the
 *            sentence, the stage and the hint: no operation ends for a reason that has a number or
 *            a code. Besides the results that a function names, each may return
 *            ALIOT_RESULT_NULL_POINTER, ALIOT_RESULT_BAD_HANDLE, ALIOT_RESULT_INVALID_UTF8 and
 *            ALIOT_RESULT_INTERNAL.
 * THREADS    Every function may be called from every thread. Functions documented as blocking
 *            take a timeout and return ALIOT_RESULT_WOULD_DEADLOCK inside a callback. No other
 *            function waits for the network; these wait for something else. aliot_identity_save
 *            waits for the disk. aliot_identity_load, the functions of an endpoint that take files
 *            or the system's roots, and both that create a client read files. aliot_client_destroy
 *            and aliot_runtime_destroy, which are allowed everywhere, wait for what they say.
 *            A message that comes alone may be encrypted and written to the socket by the thread
 *            that publishes it. A thread that calls the library needs up to 128 KiB of stack, and
 *            what its callbacks take.
 *            The library's own threads take no signals, and no write raises SIGPIPE in the program.
 * CALLBACKS  Callbacks of one client come one at a time, in order and never under a lock of the
 *            library. They may call anything, destroy included. They run on the library's threads,
 *            outside any call of the application, except inside these calls:
 *              aliot_runtime_poll        every callback of its clients and registrations
 *              aliot_client_destroy      the client's last completions and releases
 *              aliot_runtime_destroy     what a poll runtime still owes to destroyed clients, and
 *                                        on_end of registrations that have ended
 *              aliot_registration_run    its on_store
 *              whatever ends the use     a release
 *            Do not hold a lock that a callback takes when you make one of these calls.
 *            Callbacks of the log and of the clock, and the releases of their user data, are the
 *            exception: they run wherever the library is at work, which may be under its locks, and
 *            must not call it.
 *            A slow callback delays other callbacks of its runtime. It never delays the keep-alive.
 * RUNTIMES   A runtime is two threads, one of which tends to the network while the other runs
 *            callbacks or rests; they change places. Or it is a network thread alone, and callbacks
 *            run in aliot_runtime_poll on a thread of the application. Any number of clients share
 *            it. Name lookups, and files that are read again before a connect, have threads of
 *            their own, which end after it: at most 8 for names and 4 for files at work in the
 *            process, called aliot-blocking.
 * FORK       Fork before the first call, or exec in the child. A child of a process that has called
 *            the library can neither use its parent's objects nor make its own: functions with a
 *            handle return ALIOT_RESULT_BAD_HANDLE, the others that need a lock
 *            ALIOT_RESULT_INVALID_STATE, and _destroy does nothing. What only computes, such as
 *            aliot_sign, aliot_topic_matches and aliot_result_name, works there too.
 * TEXT       UTF-8, NUL-terminated. Payloads and certificates are bytes with a length.
 * UNITS      In the name: _us, _ms, _s, _days, _per_second, _per_minute, _len (bytes). Ranges
 *            include both ends. UINT32_MAX milliseconds are 49 days, except for aliot_runtime_poll,
 *            which takes them for ever.
 */
#ifndef ALIOT_H
#define ALIOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Version of this header, first part. */
#define ALIOT_VERSION_MAJOR 0
/** Version of this header, second part. */
#define ALIOT_VERSION_MINOR 1
/** Version of this header, third part. */
#define ALIOT_VERSION_PATCH 0
/** Version of this header in one number: 0x000102 is 0.1.2. */
#define ALIOT_VERSION_NUMBER \
    ((ALIOT_VERSION_MAJOR << 16) | (ALIOT_VERSION_MINOR << 8) | ALIOT_VERSION_PATCH)

/**
 * Whether the running library can serve a program compiled with this header: it has the same minor
 * version, and is not older, for functions and members may be added with the third part.
 */
#define ALIOT_VERSION_MATCHES() \
    (aliot_version_number() >> 8 == ALIOT_VERSION_NUMBER >> 8 && \
     aliot_version_number() >= ALIOT_VERSION_NUMBER)

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ----------------------------------------------------------------------------------- */

/**
 * Zero is success. A value keeps its meaning for ever; later versions may add values, so have a
 * default branch.
 *
 * 1xx arguments, 2xx state, 3xx network, 4xx TLS, 5xx platform, 6xx registration, 7xx files, 9xx
 * library.
 */
typedef enum aliot_result {
    /** Done, or accepted for later. */
    ALIOT_RESULT_OK = 0,
    /** A pointer is NULL that must not be. */
    ALIOT_RESULT_NULL_POINTER = 101,
    /** An argument is outside its documented range or form. */
    ALIOT_RESULT_INVALID_ARGUMENT = 102,
    /** A text is not UTF-8. */
    ALIOT_RESULT_INVALID_UTF8 = 103,
    /** No live object of that type has the handle. */
    ALIOT_RESULT_BAD_HANDLE = 104,
    /** The buffer is too small; nothing was written. */
    ALIOT_RESULT_BUFFER_TOO_SMALL = 105,
    /** The object is not in a state in which this call is allowed. */
    ALIOT_RESULT_INVALID_STATE = 201,
    /**
     * The outbox is at its limit of operations or bytes, or the application has not taken twice as
     * many completions as operations may wait, and 1000 more.
     */
    ALIOT_RESULT_OUTBOX_FULL = 202,
    /** The time given to a blocking call ran out. */
    ALIOT_RESULT_TIMEOUT = 203,
    /** The operation was dropped because its client stopped or was destroyed. */
    ALIOT_RESULT_CANCELLED = 204,
    /** A blocking call inside a callback, which it would wait for. */
    ALIOT_RESULT_WOULD_DEADLOCK = 205,
    /** The message's own deadline passed first. It may have been delivered. */
    ALIOT_RESULT_EXPIRED = 206,
    /** The client is draining and takes nothing new. */
    ALIOT_RESULT_CLOSING = 207,
    /**
     * The message made room for newer ones, as the outbox policy says. If it had been sent on an
     * earlier connection, it may have been delivered.
     */
    ALIOT_RESULT_DROPPED = 208,
    /** The host name could not be resolved. */
    ALIOT_RESULT_DNS = 301,
    /** The network refused or broke the connection. */
    ALIOT_RESULT_NETWORK = 302,
    /** Name lookup, TCP, TLS and CONNACK together took longer than allowed. */
    ALIOT_RESULT_CONNECT_TIMEOUT = 303,
    /** The peer closed the connection. */
    ALIOT_RESULT_CLOSED_BY_PEER = 304,
    /** The proxy refused to connect to the platform. */
    ALIOT_RESULT_PROXY = 305,
    /** A TLS setting is unusable. */
    ALIOT_RESULT_TLS_CONFIG = 401,
    /** The TLS handshake failed for a reason other than the certificate. */
    ALIOT_RESULT_TLS_HANDSHAKE = 402,
    /** The server's certificate was not accepted. */
    ALIOT_RESULT_TLS_CERTIFICATE = 403,
    /** The peer broke the MQTT protocol. */
    ALIOT_RESULT_PROTOCOL = 501,
    /** Nothing came back in time: the link is dead. */
    ALIOT_RESULT_KEEP_ALIVE_TIMEOUT = 502,
    /** The platform refused user name or password (CONNACK 4). */
    ALIOT_RESULT_BAD_CREDENTIALS = 503,
    /** The platform refused the client id (CONNACK 2). */
    ALIOT_RESULT_BAD_CLIENT_ID = 504,
    /** The platform is not available (CONNACK 3). */
    ALIOT_RESULT_SERVER_UNAVAILABLE = 505,
    /** The platform does not authorise this device (CONNACK 5). */
    ALIOT_RESULT_NOT_AUTHORIZED = 506,
    /** The platform refused a subscription (SUBACK 0x80). */
    ALIOT_RESULT_SUBSCRIPTION_REFUSED = 507,
    /** The platform does not speak MQTT 3.1.1 (CONNACK 1). */
    ALIOT_RESULT_UNSUPPORTED_PROTOCOL = 508,
    /** Another connection with the same identity replaced this one. */
    ALIOT_RESULT_TAKEN_OVER = 509,
    /** The application did not take messages as fast as they came. */
    ALIOT_RESULT_INBOX_OVERFLOW = 510,
    /** Registration was refused by the platform. */
    ALIOT_RESULT_REGISTRATION_REFUSED = 601,
    /** The platform's registration reply could not be understood. */
    ALIOT_RESULT_REGISTRATION_MALFORMED = 602,
    /** The platform has not answered the registration, which it may have carried out. */
    ALIOT_RESULT_REGISTRATION_UNANSWERED = 603,
    /** The platform registered the device, and the application did not store the identity. */
    ALIOT_RESULT_REGISTRATION_NOT_STORED = 604,
    /** There is no such file. */
    ALIOT_RESULT_FILE_NOT_FOUND = 701,
    /** The system refused to read or write a file. */
    ALIOT_RESULT_FILE_ACCESS = 702,
    /** A file with a secret can be read or changed by others than its owner. */
    ALIOT_RESULT_FILE_EXPOSED = 703,
    /** A file is not what it should be: cut off, changed, or of another kind. */
    ALIOT_RESULT_FILE_DAMAGED = 704,
    /** A defect of the library. The text helps those who mend it. */
    ALIOT_RESULT_INTERNAL = 901,
    /** The system is out of threads, descriptors or memory. */
    ALIOT_RESULT_NO_RESOURCES = 902,
} aliot_result;

/** How surely a message arrives. The platform has no QoS 2. */
typedef enum aliot_qos {
    /** Handed to the network once. */
    ALIOT_QOS_AT_MOST_ONCE = 0,
    /** Repeated until acknowledged; may arrive twice. */
    ALIOT_QOS_AT_LEAST_ONCE = 1,
} aliot_qos;

/** How the password of CONNECT is made. */
typedef enum aliot_sign_method {
    /** The default. */
    ALIOT_SIGN_METHOD_HMAC_SHA256 = 0,
    /** For the platform's older examples. */
    ALIOT_SIGN_METHOD_HMAC_SHA1 = 1,
    /** For the platform's older examples. */
    ALIOT_SIGN_METHOD_HMAC_MD5 = 2,
    /** SHA-256 of content and secret: unconfirmed by the platform. */
    ALIOT_SIGN_METHOD_SHA256 = 3,
} aliot_sign_method;

/** What keeps credentials that were made elsewhere from signing a device in. */
typedef enum aliot_sign_finding {
    /** Nothing: they sign the device in. */
    ALIOT_SIGN_FINDING_MATCHES = 0,
    /** The client id is not of the form id|name=value,name=value| with both bars. */
    ALIOT_SIGN_FINDING_CLIENT_ID_FORM = 1,
    /** securemode is missing, unknown, or does not fit the transport. */
    ALIOT_SIGN_FINDING_SECURE_MODE = 2,
    /** The user name is not the device name, '&' and the product key. */
    ALIOT_SIGN_FINDING_USERNAME = 3,
    /** The user name has its two parts swapped. */
    ALIOT_SIGN_FINDING_USERNAME_SWAPPED = 4,
    /** White space or a NUL where none belongs. */
    ALIOT_SIGN_FINDING_WHITE_SPACE = 5,
    /** The password mixes upper and lower case digits. */
    ALIOT_SIGN_FINDING_HEX_CASE = 6,
    /** The password is not a signature in hexadecimal digits. */
    ALIOT_SIGN_FINDING_PASSWORD_FORM = 7,
    /** The password is a secret itself. */
    ALIOT_SIGN_FINDING_SECRET_SENT = 8,
    /** The password is made with another method than signmethod says. */
    ALIOT_SIGN_FINDING_SIGN_METHOD = 9,
    /** The timestamp that is signed and the one in the client id are not the same. */
    ALIOT_SIGN_FINDING_TIMESTAMP = 10,
    /** The client id that is signed is not the part before the first bar. */
    ALIOT_SIGN_FINDING_SIGNED_CLIENT_ID = 11,
    /** The signed names and values are in another order or form. */
    ALIOT_SIGN_FINDING_CONTENT_FORM = 12,
    /** The product secret is used in place of the device secret. */
    ALIOT_SIGN_FINDING_PRODUCT_SECRET = 13,
    /** The device secret is used in another form than it has. */
    ALIOT_SIGN_FINDING_SECRET_FORM = 14,
    /** No usual mistake explains the password. */
    ALIOT_SIGN_FINDING_UNEXPLAINED = 15,
} aliot_sign_finding;

/** How the password's hexadecimal digits are written. */
typedef enum aliot_hex_case {
    /** 0-9 A-F. The default. */
    ALIOT_HEX_CASE_UPPER = 0,
    /** 0-9 a-f. */
    ALIOT_HEX_CASE_LOWER = 1,
} aliot_hex_case;

/** What happens when the outbox is full. */
typedef enum aliot_outbox_policy {
    /** The new message is refused with ALIOT_RESULT_OUTBOX_FULL. The default. */
    ALIOT_OUTBOX_POLICY_REFUSE_NEW = 0,
    /**
     * The oldest messages that have not been sent complete with ALIOT_RESULT_DROPPED. If there is
     * none, or too many completions wait to be taken, the new message is refused.
     */
    ALIOT_OUTBOX_POLICY_DROP_OLDEST = 1,
} aliot_outbox_policy;

/**
 * What a client does when another connection with its identity replaces it, or seems to: see
 * ALIOT_EVENT_KIND_TAKEN_OVER.
 */
typedef enum aliot_take_over_policy {
    /**
     * Waits the longest delay, less up to a quarter at random, before it tries again. The
     * default.
     */
    ALIOT_TAKE_OVER_POLICY_WAIT = 0,
    /**
     * Stops, if the platform has said so; what only seems so is waited for. What is queued stays
     * queued for the next start.
     */
    ALIOT_TAKE_OVER_POLICY_STOP = 1,
    /** Tries again as after any loss. Two clients that do this evict each other for ever. */
    ALIOT_TAKE_OVER_POLICY_FIGHT = 2,
} aliot_take_over_policy;

/** Where the callbacks of a runtime run. */
typedef enum aliot_dispatch {
    /** On a thread of the library. */
    ALIOT_DISPATCH_THREAD = 0,
    /** Inside aliot_runtime_poll, on the thread that calls it. */
    ALIOT_DISPATCH_POLL = 1,
} aliot_dispatch;

/** What the connection of a client is doing. */
typedef enum aliot_state {
    /** Not started, or stopped. */
    ALIOT_STATE_STOPPED = 0,
    /** An attempt is under way. */
    ALIOT_STATE_CONNECTING = 1,
    /** The platform has accepted the connection. */
    ALIOT_STATE_CONNECTED = 2,
    /** Between two attempts. */
    ALIOT_STATE_WAITING = 3,
    /** Draining, or saying goodbye. */
    ALIOT_STATE_STOPPING = 4,
} aliot_state;

/** How far on the way from a call to the platform a failure happened. */
typedef enum aliot_stage {
    /** There was no failure. */
    ALIOT_STAGE_NONE = 0,
    /** The arguments of the call: nothing was done. */
    ALIOT_STAGE_ARGUMENT = 1,
    /** The state of the object. */
    ALIOT_STAGE_STATE = 2,
    /** Looking up the host's name. */
    ALIOT_STAGE_RESOLVE = 3,
    /** Opening the TCP connection. */
    ALIOT_STAGE_TCP = 4,
    /** The TLS settings, the handshake, or the encrypted stream. */
    ALIOT_STAGE_TLS = 5,
    /** The MQTT exchange: CONNECT, CONNACK and every packet after them. */
    ALIOT_STAGE_MQTT = 6,
    /** The session's own rules: deadlines, limits, the end of the client. */
    ALIOT_STAGE_SESSION = 7,
    /** A decision of the platform about this device. */
    ALIOT_STAGE_PLATFORM = 8,
    /** The library, or the resources of the process. */
    ALIOT_STAGE_LIBRARY = 9,
    /** The exchange with a proxy, before the platform is reached. */
    ALIOT_STAGE_PROXY = 10,
    /** A file of the device. */
    ALIOT_STAGE_STORAGE = 11,
    /** The handshake of a WebSocket. */
    ALIOT_STAGE_WEBSOCKET = 12,
} aliot_stage;

/** What a client counts since it was created, or holds now. */
typedef enum aliot_counter {
    /** Connections that the platform accepted. */
    ALIOT_COUNTER_CONNECTS = 1,
    /** Messages accepted by aliot_client_publish. */
    ALIOT_COUNTER_MESSAGES_SENT = 2,
    /** Messages that arrived. */
    ALIOT_COUNTER_MESSAGES_RECEIVED = 3,
    /** Of those, the ones that matched no subscription. */
    ALIOT_COUNTER_MESSAGES_UNROUTED = 4,
    /**
     * QoS 0 messages that the event MESSAGES_DROPPED tells of: received ones for which callbacks
     * were too slow, and unsent ones without a token.
     */
    ALIOT_COUNTER_MESSAGES_DROPPED = 5,
    /** Operations accepted and not completed, now. */
    ALIOT_COUNTER_OUTBOX_OPERATIONS = 6,
    /** Bytes they are charged with, now. */
    ALIOT_COUNTER_OUTBOX_BYTES = 7,
    /** Attempts to connect. */
    ALIOT_COUNTER_ATTEMPTS = 8,
    /** Attempts that failed. */
    ALIOT_COUNTER_CONNECT_FAILURES = 9,
    /** Connections that ended because the network or TLS broke them. */
    ALIOT_COUNTER_LOST_TO_NETWORK = 10,
    /** Connections that the peer closed. */
    ALIOT_COUNTER_LOST_TO_PEER = 11,
    /** Connections that went silent: no PINGRESP, no acknowledgement, no byte taken. */
    ALIOT_COUNTER_LOST_TO_SILENCE = 12,
    /** Connections on which the peer broke the protocol. */
    ALIOT_COUNTER_LOST_TO_PROTOCOL = 13,
    /** Connections that another one with this identity replaced. */
    ALIOT_COUNTER_LOST_TO_TAKE_OVER = 14,
    /** Connections closed because callbacks were too slow for QoS 1. */
    ALIOT_COUNTER_LOST_TO_OVERFLOW = 15,
    /** QoS 1 messages that the platform acknowledged. */
    ALIOT_COUNTER_MESSAGES_ACKNOWLEDGED = 16,
    /** Bytes of MQTT that sockets took. */
    ALIOT_COUNTER_BYTES_SENT = 17,
    /** Bytes of MQTT that arrived in whole packets. */
    ALIOT_COUNTER_BYTES_RECEIVED = 18,
    /** Microseconds from the last PINGREQ to its PINGRESP; 0 before the first. */
    ALIOT_COUNTER_PING_ROUND_TRIP_US = 19,
    /** Bytes that wait for callbacks, now. */
    ALIOT_COUNTER_INBOX_BYTES = 20,
} aliot_counter;

/** How important a log record is. Each level includes the ones before it. */
typedef enum aliot_log_level {
    /** Nothing is logged. */
    ALIOT_LOG_LEVEL_OFF = 0,
    /** Something the application asked for failed for good. */
    ALIOT_LOG_LEVEL_ERROR = 1,
    /** Something failed and will be tried again, or was lost. */
    ALIOT_LOG_LEVEL_WARN = 2,
    /** A connection came or went. */
    ALIOT_LOG_LEVEL_INFO = 3,
    /** Each packet, with the beginning of its payload unless the platform sends secrets there. */
    ALIOT_LOG_LEVEL_DEBUG = 4,
} aliot_log_level;

/** How the platform knows a device that registers. */
typedef enum aliot_registration_kind {
    /** The device name is in the console: the device gets its device secret. */
    ALIOT_REGISTRATION_KIND_PREREGISTERED = 0,
    /** The platform creates the device, which gets a client id and a device token. */
    ALIOT_REGISTRATION_KIND_CREATE_DEVICE = 1,
} aliot_registration_kind;

/** The parameter "securemode" of a registration. */
typedef enum aliot_registration_mode {
    /** Public instances opened before 30 July 2021. */
    ALIOT_REGISTRATION_MODE_PUBLIC = 2,
    /** Every other instance. */
    ALIOT_REGISTRATION_MODE_INSTANCE = -2,
} aliot_registration_mode;

/** TLS versions that are spoken. */
typedef enum aliot_tls_versions {
    /** 1.2 and 1.3. The default. */
    ALIOT_TLS_VERSIONS_BOTH = 0,
    /** 1.2 alone. */
    ALIOT_TLS_VERSIONS_ONLY12 = 1,
    /** 1.3 alone. */
    ALIOT_TLS_VERSIONS_ONLY13 = 2,
} aliot_tls_versions;

/** Which addresses of a host are dialled. */
typedef enum aliot_address_family {
    /** IPv4 and IPv6 in turn, beginning as the system orders them. The default. */
    ALIOT_ADDRESS_FAMILY_ANY = 0,
    /** IPv4 and IPv6 in turn, beginning with IPv4. */
    ALIOT_ADDRESS_FAMILY_PREFER_IPV4 = 1,
    /** IPv4 and IPv6 in turn, beginning with IPv6. */
    ALIOT_ADDRESS_FAMILY_PREFER_IPV6 = 2,
    /** IPv4 alone. */
    ALIOT_ADDRESS_FAMILY_ONLY_IPV4 = 3,
    /** IPv6 alone. */
    ALIOT_ADDRESS_FAMILY_ONLY_IPV6 = 4,
} aliot_address_family;

/**
 * What happened to the connection.
 *
 * Every CONNECTING is followed by exactly one CONNECTED or CONNECT_FAILED, every CONNECTED by
 * exactly one DISCONNECTED. After STOPPED only MESSAGES_DROPPED can come until the next
 * aliot_client_start. Where the events of hundreds of attempts wait for a callback, the oldest
 * attempts are forgotten, each as a whole, and the log says how many. Later versions may add
 * values, so have a default branch.
 */
typedef enum aliot_event_kind {
    /** An attempt begins. */
    ALIOT_EVENT_KIND_CONNECTING = 1,
    /** The platform has accepted the connection. */
    ALIOT_EVENT_KIND_CONNECTED = 2,
    /** The attempt failed. */
    ALIOT_EVENT_KIND_CONNECT_FAILED = 3,
    /** The connection ended. */
    ALIOT_EVENT_KIND_DISCONNECTED = 4,
    /** The client has stopped. */
    ALIOT_EVENT_KIND_STOPPED = 5,
    /**
     * Another connection with the same identity replaced this one, as the platform has announced
     * (aliot_config_set_kick_notice), or so it seems: text says which. It seems so from the third
     * connection in a row that the peer closes within 60 s, of which those that end after one and
     * the same QoS 1 message count once: see aliot_client_publish. Comes before DISCONNECTED.
     */
    ALIOT_EVENT_KIND_TAKEN_OVER = 6,
    /**
     * QoS 0 messages were lost: received ones because callbacks were too slow, or unsent ones
     * without a token because the client stopped or because they made room for newer ones, see
     * aliot_config_set_outbox_policy.
     */
    ALIOT_EVENT_KIND_MESSAGES_DROPPED = 7,
    /** The platform refused to restore a subscription after a reconnect; text is its filter. */
    ALIOT_EVENT_KIND_SUBSCRIPTION_LOST = 8,
    /**
     * The server's certificate, the root it leads to, or this device's own certificate ends within
     * the time that aliot_endpoint_set_expiry_warning_days says, or has ended; text tells which and
     * when.
     */
    ALIOT_EVENT_KIND_CERTIFICATE_EXPIRES_SOON = 9,
    /**
     * The platform has said which device the client certificate belongs to. The client keeps it
     * until it is destroyed; the application saves it for the next start.
     */
    ALIOT_EVENT_KIND_IDENTITY_RECEIVED = 10,
} aliot_event_kind;

/** The connection: callbacks, topics, messages. */
typedef struct aliot_client aliot_client;

/** How the client behaves. */
typedef struct aliot_config aliot_config;

/** What CONNECT carries. */
typedef struct aliot_credentials aliot_credentials;

/** Where the platform is. */
typedef struct aliot_endpoint aliot_endpoint;

/** Who the device is. */
typedef struct aliot_identity aliot_identity;

/** How a device comes to its identity. */
typedef struct aliot_registration aliot_registration;

/** Where clients run. */
typedef struct aliot_runtime aliot_runtime;

/** A queued operation. Never 0, never used again by the same client. */
typedef uint64_t aliot_token;

/**
 * An event of a client. The library allocates it and may append members: read it, never copy it by
 * value.
 */
typedef struct aliot_event {
    /** What happened. */
    aliot_event_kind kind;
    /**
     * CONNECT_FAILED, DISCONNECTED, TAKEN_OVER, SUBSCRIPTION_LOST: why. ALIOT_RESULT_OK for the
     * other kinds, and for a disconnection that the application asked for.
     */
    aliot_result reason;
    /** The reason in words, or what the kind says; never NULL, may be empty. */
    const char *text;
    /** CONNECTED: the platform kept the session. */
    bool session_present;
    /** CONNECT_FAILED, DISCONNECTED: the client will try again by itself. */
    bool will_retry;
    /** When, if will_retry. */
    uint32_t retry_in_ms;
    /** MESSAGES_DROPPED: how many. */
    uint64_t messages_dropped;
    /** Where it failed, if reason is not ALIOT_RESULT_OK; else ALIOT_STAGE_NONE. */
    aliot_stage stage;
    /** The operating system's error number, such as ECONNREFUSED; 0 if there is none. */
    int os_error;
    /** The return code of the CONNACK that refused the connection; 0 if there was none. */
    uint8_t connack_code;
    /**
     * What usually causes this and what mends it, in the platform's terms; never NULL, may be
     * empty.
     */
    const char *hint;
    /** What the TLS implementation itself calls the failure, for support; never NULL. */
    const char *tls_detail;
    /**
     * IDENTITY_RECEIVED: who the device is, to be saved; the handle is good until the callback
     * returns. Else NULL.
     */
    const aliot_identity *identity;
    /** CERTIFICATE_EXPIRES_SOON: when it ends, in seconds since 1970; else 0. */
    uint64_t certificate_ends_s;
} aliot_event;

/**
 * A message from the platform. The library allocates it and may append members: read it, never
 * copy it by value.
 */
typedef struct aliot_message {
    /** The topic it was published to. */
    const char *topic;
    /** Never NULL; not NUL-terminated. */
    const uint8_t *payload;
    /** Bytes at payload. */
    size_t payload_len;
    /** How it was sent. */
    aliot_qos qos;
    /** The platform has sent it before, and it may have been delivered. */
    bool duplicate;
    /** The platform kept it from before the subscription. */
    bool retained;
} aliot_message;

/**
 * The end of an operation. Each that was accepted has exactly one, except a QoS 0 message for which
 * nobody asked for a token: that has none. The library allocates it and may append members: read
 * it, never copy it by value.
 */
typedef struct aliot_completion {
    /** Which operation. */
    aliot_token token;
    /** ALIOT_RESULT_OK: acknowledged, or handed to the network for QoS 0. */
    aliot_result result;
    /** The result in words; never NULL, may be empty. */
    const char *text;
    /** Subscriptions: what the platform granted, which may be less than was asked for. */
    aliot_qos granted_qos;
    /** Where it failed; ALIOT_STAGE_NONE for ALIOT_RESULT_OK. */
    aliot_stage stage;
    /**
     * What usually causes this and what mends it, in the platform's terms; never NULL, may be
     * empty.
     */
    const char *hint;
} aliot_completion;

/**
 * The end of a registration. The library allocates it and may append members: read it, never copy
 * it by value.
 */
typedef struct aliot_registration_end {
    /** ALIOT_RESULT_OK: the platform has given the device an identity. */
    aliot_result result;
    /** The result in words; never NULL, may be empty. */
    const char *text;
    /**
     * ALIOT_RESULT_OK: the identity, to be stored; the handle is good until the callback returns.
     * Else NULL.
     */
    const aliot_identity *identity;
    /** Where it failed; ALIOT_STAGE_NONE for ALIOT_RESULT_OK. */
    aliot_stage stage;
    /**
     * What usually causes this and what mends it, in the platform's terms; never NULL, may be
     * empty.
     */
    const char *hint;
    /** The operating system's error number, such as ECONNREFUSED; 0 if there is none. */
    int os_error;
    /** The return code of the CONNACK that refused the registration; 0 if there was none. */
    uint8_t connack_code;
    /** What the TLS implementation itself calls the failure, for support; never NULL. */
    const char *tls_detail;
} aliot_registration_end;

/**
 * One line of the log. The library allocates it and may append members: read it, never copy it by
 * value.
 */
typedef struct aliot_log_record {
    /** How important it is. */
    aliot_log_level level;
    /** The part of the library that speaks, such as "session". */
    const char *target;
    /** The line, without a line feed and without a secret. */
    const char *text;
    /** When it was logged: milliseconds since 1970, UTC, by the system's clock. */
    uint64_t time_ms;
} aliot_log_record;

/** Receives the events of a client. */
typedef void (*aliot_event_cb)(aliot_client *client,
                               const aliot_event *event,
                               void *userdata);

/** Receives messages. A message of QoS 1 is acknowledged after the callback has returned. */
typedef void (*aliot_message_cb)(aliot_client *client,
                                 const aliot_message *message,
                                 void *userdata);

/** Receives the end of each operation. */
typedef void (*aliot_completion_cb)(aliot_client *client,
                                    const aliot_completion *completion,
                                    void *userdata);

/**
 * Puts an identity where it survives a loss of power; true if that succeeded. The handle is good
 * until the callback returns.
 */
typedef bool (*aliot_store_cb)(const aliot_identity *identity, void *userdata);

/**
 * Receives the end of a registration; true if it has stored the identity. What it returns after a
 * failure means nothing.
 */
typedef bool (*aliot_registration_cb)(const aliot_registration_end *end, void *userdata);

/**
 * Tells the date in seconds since 1970; 0 if it does not know. Runs on network threads, one at a
 * time, and must return at once without calling the library.
 */
typedef uint64_t (*aliot_clock_cb)(void *userdata);

/**
 * Receives log records on the thread that logs, whichever that is, on several at once. It must not
 * call the library.
 */
typedef void (*aliot_log_cb)(const aliot_log_record *record, void *userdata);

/**
 * Takes user data back. Runs once, on any thread, possibly inside the call that ended its use. May
 * be NULL where it is a parameter. That of a log or clock callback must not call the library.
 */
typedef void (*aliot_release_cb)(void *userdata);

/* ---- Library --------------------------------------------------------------------------------- */

/** Version of the running library, laid out as ALIOT_VERSION_NUMBER. */
uint32_t aliot_version_number(void);

/** Version of the running library, such as "0.1.0". Static. */
const char *aliot_version_string(void);

/**
 * Name of a result, such as "ALIOT_RESULT_TIMEOUT"; "ALIOT_RESULT_?" for a value that this version
 * does not know. Static, never NULL.
 */
const char *aliot_result_name(aliot_result result);

/** One English sentence about a result. Static, never NULL. */
const char *aliot_result_text(aliot_result result);

/**
 * Whether the same operation may succeed later without a change by the application. False for
 * ALIOT_RESULT_OK and for a value that this version does not know.
 */
bool aliot_result_is_retryable(aliot_result result);

/**
 * Copies the sentence that explains the last failure on this thread into `buffer`.
 *
 * It belongs to the last call on this thread that returned aliot_result and is empty after
 * success; other functions leave it alone. It names the argument and its value, or the stage and
 * the cause, and never a secret.
 *
 * Returns the length of the whole sentence without the NUL. If that is `capacity` or more, as many
 * whole characters as fit were copied. `buffer` may be NULL if `capacity` is 0.
 *
 * Safety:
 * `buffer` must be NULL or have room for `capacity` bytes.
 */
size_t aliot_last_error(char *buffer, size_t capacity);

/**
 * What usually causes the last failure on this thread and what mends it, in the platform's terms;
 * empty where aliot_last_error says all there is.
 *
 * For a person, not for branching. Everything else is as with aliot_last_error.
 *
 * Safety:
 * `buffer` must be NULL or have room for `capacity` bytes.
 */
size_t aliot_last_error_hint(char *buffer, size_t capacity);

/** Where the last failure on this thread happened; ALIOT_STAGE_NONE after success. */
aliot_stage aliot_last_error_stage(void);

/**
 * The operating system's number of the last failure on this thread, such as ECONNREFUSED; 0 if it
 * did not come from there.
 */
int aliot_last_error_os_error(void);

/**
 * The return code of the CONNACK behind the last failure on this thread, 1 or more; 0 if there was
 * none.
 */
uint8_t aliot_last_error_connack_code(void);

/**
 * A stage in a word or two, such as "TCP connect"; "?" for a value that this version does not know.
 * Static, never NULL.
 */
const char *aliot_stage_name(aliot_stage stage);

/**
 * Replaces the process-wide log callback; NULL turns logging off.
 *
 * `on_record` receives records up to and including `max_level`, on whichever thread logs, on
 * several at once, and must not call the library. Logging is off until the first call. With a NULL
 * `on_record`, `userdata` and `release` are ignored. The previous callback's user data is released
 * when the last record given to it has been handled.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `max_level` is not a value of aliot_log_level.
 *
 * Safety:
 * `userdata` must be usable from every thread, and from several at once, until it is released.
 */
aliot_result aliot_log_set_callback(aliot_log_level max_level,
                                    aliot_log_cb on_record,
                                    void *userdata,
                                    aliot_release_cb release);

/**
 * Asks `on_time` for the date by which certificates are judged, instead of the system; NULL for the
 * system. Serves the whole process, and replaces the one set before.
 *
 * For devices that know the date better than their clock, from a modem or a satellite. With a NULL
 * `on_time`, `userdata` and `release` are ignored.
 *
 * Safety:
 * `userdata` must be usable from one thread at a time until it is released.
 */
aliot_result aliot_clock_set_callback(aliot_clock_cb on_time,
                                      void *userdata,
                                      aliot_release_cb release);

/**
 * The date, in seconds since 1970, before which no clock can be right: connecting with TLS then
 * fails with a text that says so. Default: when the library was built. Serves the whole process.
 */
aliot_result aliot_clock_set_floor_s(uint64_t seconds);

/* ---- Identity: who the device is. Immutable -------------------------------------------------- */

/**
 * Makes an identity from what the console shows for a device.
 *
 * `product_key` is 1 to 64 of the letters and digits of ASCII and '_'; `device_name` 1 to 64 of
 * them and of "-_@.:". `device_secret` is the device's own, never the product's: 1 to 64 bytes
 * without control characters.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the secret.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_create(const char *product_key,
                                   const char *device_name,
                                   const char *device_secret,
                                   aliot_identity **identity_out);

/**
 * Makes the identity of a device that the platform created, from the client id and the device
 * token that registration returned.
 *
 * The names are as for aliot_identity_create. `client_id` is 1 to 1024 bytes without '|' and
 * control characters, `device_token` 1 to 1024 bytes without control characters.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the token.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_create_with_token(const char *product_key,
                                              const char *device_name,
                                              const char *client_id,
                                              const char *device_token,
                                              aliot_identity **identity_out);

/**
 * Makes the identity of a device that proves itself by the client certificate of its endpoint, see
 * aliot_endpoint_set_client_certificate_pem.
 *
 * The names are as for aliot_identity_create, or both "" as long as they are not known. The
 * platform then says them after the first connect: the event IDENTITY_RECEIVED brings the identity
 * to be saved, and the client uses it from then on.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_create_with_certificate(const char *product_key,
                                                    const char *device_name,
                                                    aliot_identity **identity_out);

/**
 * Makes an identity from the three fields of CONNECT, which are sent as they are.
 *
 * `client_id` is 1 to 65535 bytes, `username` 0 to 65535, both without control characters;
 * `password` is 0 to 65535 bytes, and "" if `username` is "".
 *
 * For private platforms and for credentials made elsewhere. Such an identity has neither product
 * key nor device name. It goes with every endpoint but that of a region, whose host begins with the
 * product key, and the topic helpers refuse it.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument; it never repeats the password.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_create_verbatim(const char *client_id,
                                            const char *username,
                                            const char *password,
                                            aliot_identity **identity_out);

/**
 * Ends the life of the handle and of the texts its accessors returned, and overwrites the secret.
 * Configs made from the identity keep their copy. NULL and a destroyed handle do nothing.
 */
void aliot_identity_destroy(aliot_identity *identity);

/**
 * Whether the secret is a device token, which goes with the client id below. False for a bad
 * handle.
 */
bool aliot_identity_has_token(const aliot_identity *identity);

/** Product key; "" for a verbatim identity and as long as it is unknown, NULL for a bad handle. */
const char *aliot_identity_product_key(const aliot_identity *identity);

/** Device name; "" for a verbatim identity and as long as it is unknown, NULL for a bad handle. */
const char *aliot_identity_device_name(const aliot_identity *identity);

/**
 * Device secret, device token or password. Store it as carefully as a password. NULL for a bad
 * handle.
 */
const char *aliot_identity_secret(const aliot_identity *identity);

/**
 * Client id that goes with a device token, or the whole client id of a verbatim identity; else "".
 * NULL for a bad handle.
 */
const char *aliot_identity_client_id(const aliot_identity *identity);

/** User name of a verbatim identity; else "". NULL for a bad handle. */
const char *aliot_identity_username(const aliot_identity *identity);

/**
 * Writes the identity, with its secret, to a file that only its owner can read.
 *
 * What was there is replaced in one step: after a loss of power either the old content is there or
 * the new one. The folder must exist, be readable and be writable. Waits for the disk.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `path` names no file, as "", "/", "." and ".." do;
 * ALIOT_RESULT_FILE_ACCESS names the step that the system refused; what was there is untouched. The
 * last step is the exception, and aliot_last_error then says that the file has been replaced: the
 * folder could not be flushed, so that a loss of power may bring the old content back. Saving again
 * does no harm.
 *
 * Safety:
 * `path` must be NULL or NUL-terminated.
 */
aliot_result aliot_identity_save(const aliot_identity *identity, const char *path);

/**
 * Reads an identity that aliot_identity_save wrote.
 *
 * Errors:
 * ALIOT_RESULT_FILE_NOT_FOUND if there is no such file; ALIOT_RESULT_FILE_EXPOSED if others than
 * its owner have any permission on it; ALIOT_RESULT_FILE_DAMAGED if it is cut off, changed or
 * something else; ALIOT_RESULT_FILE_ACCESS if the system refuses.
 *
 * Safety:
 * `path` must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_load(const char *path, aliot_identity **identity_out);

/* ---- Registration: from the product's secret to an identity ---------------------------------- */

/**
 * Registers a device and blocks until the platform has answered: the short form of
 * aliot_registration_create and aliot_registration_run, which says how long `timeout_ms` is.
 *
 * The platform refuses a second registration once the device has connected: save the identity,
 * with aliot_identity_save, before it is used.
 *
 * Errors:
 * As aliot_registration_create and aliot_registration_run.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `identity_out` NULL or valid for writing.
 */
aliot_result aliot_identity_register(const aliot_endpoint *endpoint,
                                     const char *product_key,
                                     const char *device_name,
                                     const char *product_secret,
                                     aliot_registration_kind kind,
                                     uint32_t timeout_ms,
                                     aliot_identity **identity_out);

/**
 * Describes the registration of a device that knows its product's secret and not its own.
 *
 * Product key and device name are as for aliot_identity_create. `product_secret` is the product's,
 * shown in the console: 1 to 64 bytes without control characters. `endpoint` is copied.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the secret, and refuses an endpoint
 * without TLS; ALIOT_RESULT_TLS_CONFIG if a TLS setting of the endpoint has failed;
 * ALIOT_RESULT_INVALID_STATE if the library was built without registration.
 *
 * Safety:
 * The texts must be NULL or NUL-terminated, `registration_out` NULL or valid for writing.
 */
aliot_result aliot_registration_create(const aliot_endpoint *endpoint,
                                       const char *product_key,
                                       const char *device_name,
                                       const char *product_secret,
                                       aliot_registration_kind kind,
                                       aliot_registration **registration_out);

/**
 * Ends the life of the handle and overwrites the product secret. A registration under way is not
 * touched. NULL and a destroyed handle do nothing.
 */
void aliot_registration_destroy(aliot_registration *registration);

/**
 * Signs with `method`. Default ALIOT_SIGN_METHOD_HMAC_SHA256.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT for ALIOT_SIGN_METHOD_SHA256, which registration does not know,
 * and for what is not a value of aliot_sign_method.
 */
aliot_result aliot_registration_set_sign_method(aliot_registration *registration,
                                                aliot_sign_method method);

/**
 * The part of the MQTT client id before the first '|': 1 to 64 characters. Default: product key,
 * '.' and device name. It is not signed.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if it is something else or contains '|', ',', '=' or a control
 * character.
 *
 * Safety:
 * `client_id` must be NULL or NUL-terminated.
 */
aliot_result aliot_registration_set_client_id(aliot_registration *registration,
                                              const char *client_id);

/**
 * Names the instance; NULL for none. Default: the endpoint's instance, also if the endpoint is a
 * host "<instance id>.mqtt.iothub.aliyuncs.com".
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `instance_id` cannot be part of a host name.
 *
 * Safety:
 * `instance_id` must be NULL or NUL-terminated.
 */
aliot_result aliot_registration_set_instance_id(aliot_registration *registration,
                                                const char *instance_id);

/**
 * The parameter "securemode". Default: ALIOT_REGISTRATION_MODE_INSTANCE if there is an instance
 * id, else ALIOT_REGISTRATION_MODE_PUBLIC.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `mode` is not a value of aliot_registration_mode.
 */
aliot_result aliot_registration_set_mode(aliot_registration *registration,
                                         aliot_registration_mode mode);

/**
 * How often this device may connect in a minute, clients and registrations of this process
 * together: 1..60000, or 0 for any number. Default 5, the platform's limit; more is for private
 * platforms and test benches.
 *
 * Source: the platform's limits, connects per device and minute.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_registration_set_connects_per_minute(aliot_registration *registration,
                                                        uint32_t connects);

/**
 * Registers, and blocks until the platform has answered, for at most `timeout_ms`. Storing is not
 * counted, nor is the goodbye to the platform after it, which takes 2 seconds at most.
 *
 * `on_store`, which may be NULL, is called on this thread with the identity: it puts it where it
 * survives a loss of power, for example with aliot_identity_save, and returns true. Only then is
 * the platform left and the result ALIOT_RESULT_OK. A device that loses power before that may
 * register again, because it has never connected. Storing that takes longer than 15 seconds loses
 * the connection and nothing else: the identity stays good.
 *
 * The platform is dialled once. Nothing is tried again, because from CONNECT on the platform may
 * have carried the registration out.
 *
 * Errors:
 * ALIOT_RESULT_REGISTRATION_REFUSED (CONNACK 1, 2, 4 and 5) and ALIOT_RESULT_SERVER_UNAVAILABLE
 * (CONNACK 3); ALIOT_RESULT_REGISTRATION_UNANSWERED if the platform closed the connection or let
 * the time pass after CONNECT; ALIOT_RESULT_REGISTRATION_MALFORMED;
 * ALIOT_RESULT_REGISTRATION_NOT_STORED if `on_store` returned false; ALIOT_RESULT_PROTOCOL if the
 * peer sent what has no place in a registration; ALIOT_RESULT_TIMEOUT if the device's connects of
 * this minute are used up, or if too many connections to the same host were being opened for as
 * long as `timeout_ms`; ALIOT_RESULT_WOULD_DEADLOCK inside a callback;
 * ALIOT_RESULT_INVALID_ARGUMENT if the default client id is too long; ALIOT_RESULT_NO_RESOURCES if
 * the system has no thread, descriptor or random bytes left; the 3xx and 4xx results of connecting.
 *
 * Safety:
 * `identity_out` must be NULL or valid for writing.
 */
aliot_result aliot_registration_run(const aliot_registration *registration,
                                    uint32_t timeout_ms,
                                    aliot_store_cb on_store,
                                    void *userdata,
                                    aliot_identity **identity_out);

/**
 * Registers in the background, for at most `timeout_ms`, to which storing does not count. Does not
 * wait.
 *
 * `on_end` is called exactly once, where the callbacks of `runtime` run: with an identity, which
 * it stores and says so, or with the reason why there is none. `runtime` may be NULL for the
 * runtime that clients share by default. On an ALIOT_DISPATCH_POLL runtime whose handle is
 * destroyed before that, it is called if the registration has ended by then, as
 * aliot_runtime_destroy says; of one that ends later only `release` is, for nobody can poll any
 * more.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if the default client id is too long; ALIOT_RESULT_NO_RESOURCES.
 * After an error `userdata` has not been touched.
 *
 * Safety:
 * `userdata` must be usable from one thread at a time until it is released.
 */
aliot_result aliot_registration_start(const aliot_registration *registration,
                                      aliot_runtime *runtime,
                                      uint32_t timeout_ms,
                                      aliot_registration_cb on_end,
                                      void *userdata,
                                      aliot_release_cb release);

/* ---- Endpoint: where the platform is --------------------------------------------------------- */

/**
 * A public instance that was opened before 30 July 2021, by its region, such as "cn-shanghai", on
 * port 443. Every other instance has an id: see aliot_endpoint_create_for_instance.
 *
 * The host name contains the product key of the identity that a config adds.
 *
 * Source: the platform's list of endpoints.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `region_id` cannot be part of a host name.
 *
 * Safety:
 * `region_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
 */
aliot_result aliot_endpoint_create_for_region(const char *region_id, aliot_endpoint **endpoint_out);

/**
 * An instance of the platform by its id, such as "iot-060a0bbc", on port 8883: every Enterprise
 * instance, and public ones opened since 30 July 2021.
 *
 * Source: the platform's list of endpoints.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `instance_id` cannot be part of a host name.
 *
 * Safety:
 * `instance_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
 */
aliot_result aliot_endpoint_create_for_instance(const char *instance_id,
                                                aliot_endpoint **endpoint_out);

/**
 * The host for devices with an X.509 certificate in a region, on port 1883. The platform has it in
 * "cn-shanghai" alone.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `region_id` cannot be part of a host name.
 *
 * Safety:
 * `region_id` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
 */
aliot_result aliot_endpoint_create_for_x509(const char *region_id, aliot_endpoint **endpoint_out);

/**
 * A host: a private platform, a gateway or a test bench.
 *
 * `host` is a DNS name, an IPv4 address, or an IPv6 address without brackets; `port` is 1 to
 * 65535.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument.
 *
 * Safety:
 * `host` must be NULL or NUL-terminated, `endpoint_out` NULL or valid for writing.
 */
aliot_result aliot_endpoint_create_for_host(const char *host,
                                            uint16_t port,
                                            aliot_endpoint **endpoint_out);

/**
 * Ends the life of the handle. Configs made from the endpoint keep their copy. NULL and a
 * destroyed handle do nothing.
 */
void aliot_endpoint_destroy(aliot_endpoint *endpoint);

/**
 * Dials another port than the default, 1 to 65535. There is no fallback from one port to another.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT for 0.
 */
aliot_result aliot_endpoint_set_port(aliot_endpoint *endpoint, uint16_t port);

/**
 * The name that the server's certificate must carry, and that is sent as SNI, if it is not the
 * host that is dialled. A TLS setting: after a failure the endpoint cannot be used any more.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `server_name` is neither a DNS name nor an address.
 *
 * Safety:
 * `server_name` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_server_name(aliot_endpoint *endpoint, const char *server_name);

/**
 * How long name lookup, TCP, TLS and CONNACK may take together: 1..60000, default 10000.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_endpoint_set_connect_timeout_ms(aliot_endpoint *endpoint, uint32_t timeout_ms);

/**
 * Connects without TLS: everyone on the path can read and forge everything. For test benches.
 *
 * The port stays as it is.
 */
aliot_result aliot_endpoint_set_dangerous_plaintext(aliot_endpoint *endpoint);

/**
 * Trusts the certificates in `pem` instead of all others, such as the platform's roots, which are
 * built in.
 *
 * After a failure of any kind the endpoint cannot be used any more: an application that overlooks
 * the result does not connect with roots it did not choose. That holds for every TLS setting: this
 * function and the following ones, to aliot_endpoint_set_client_certificate_files, and
 * aliot_endpoint_set_server_name.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG says what is wrong with `pem`.
 *
 * Safety:
 * `pem` must be NULL or point to `pem_len` bytes.
 */
aliot_result aliot_endpoint_set_ca_pem(aliot_endpoint *endpoint, const void *pem, size_t pem_len);

/**
 * Trusts the certificates in `pem` besides those trusted already.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG says what is wrong with `pem`.
 *
 * Safety:
 * `pem` must be NULL or point to `pem_len` bytes.
 */
aliot_result aliot_endpoint_add_ca_pem(aliot_endpoint *endpoint, const void *pem, size_t pem_len);

/**
 * Trusts the certificates in a PEM file instead of all others.
 *
 * The file is read now, to report what is wrong with it, and again before each connect, so that
 * roots can be replaced in the field.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it.
 *
 * Safety:
 * `path` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_ca_file(aliot_endpoint *endpoint, const char *path);

/**
 * Trusts the certificates in a PEM file besides those trusted already. It is read as with
 * aliot_endpoint_set_ca_file.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it.
 *
 * Safety:
 * `path` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_add_ca_file(aliot_endpoint *endpoint, const char *path);

/**
 * Trusts the roots of the operating system instead of all others. The platform's own root, which
 * signs port 8883, is in no system's store: see aliot_endpoint_add_system_roots.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG if the system has no roots where they usually are.
 */
aliot_result aliot_endpoint_use_system_roots(aliot_endpoint *endpoint);

/**
 * Trusts the roots of the operating system besides those trusted already.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG if the system has no roots where they usually are.
 */
aliot_result aliot_endpoint_add_system_roots(aliot_endpoint *endpoint);

/**
 * Accepts a server only if the SHA-256 of its public key is this one, or one that was pinned
 * before: 64 hexadecimal digits; colons between them are ignored. The certificate must be good in
 * every other way too.
 *
 * Pin the next key as well as the present one, or the device is locked out when it changes. The
 * hash is that of the SubjectPublicKeyInfo: openssl x509 -pubkey -noout -in server.pem | openssl
 * pkey -pubin -outform der | openssl dgst -sha256
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `sha256` is something else.
 *
 * Safety:
 * `sha256` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_pin_server_key(aliot_endpoint *endpoint, const char *sha256);

/**
 * The TLS versions to speak. Default ALIOT_TLS_VERSIONS_BOTH.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `versions` is not a value of aliot_tls_versions.
 */
aliot_result aliot_endpoint_set_tls_versions(aliot_endpoint *endpoint, aliot_tls_versions versions);

/**
 * How many days before the end of the server's certificate, of the root it leads to, or of the
 * device's own certificate the event CERTIFICATE_EXPIRES_SOON comes: 0..3650, 0 for
 * never, default 30. It comes after CONNECTED, at most once a day, and tells of the one that ends
 * first; of one that has ended, and connects all the same, only if no other ends soon.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_endpoint_set_expiry_warning_days(aliot_endpoint *endpoint, uint16_t days);

/**
 * Shows this client certificate to a server that asks for one.
 *
 * `certificate` is its chain as PEM, the device's own first. `key` is its private key as PEM:
 * PKCS#8, PKCS#1 or SEC1, not encrypted. Both are copied; the copy of the key's text is overwritten
 * in the end. What TLS computes with stays in memory for the next client of the same certificate:
 * see SECURITY.md.
 *
 * The event CERTIFICATE_EXPIRES_SOON warns before the device's own certificate ends. A server that
 * refuses it makes connecting fail with ALIOT_RESULT_TLS_HANDSHAKE, whose text and hint say so.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG says what is wrong with which; ALIOT_RESULT_INVALID_STATE if the library
 * was built without client certificates.
 *
 * Safety:
 * `certificate` must be NULL or point to `certificate_len` bytes, `key` NULL or to `key_len`.
 */
aliot_result aliot_endpoint_set_client_certificate_pem(aliot_endpoint *endpoint,
                                                       const void *certificate,
                                                       size_t certificate_len,
                                                       const void *key,
                                                       size_t key_len);

/**
 * As aliot_endpoint_set_client_certificate_pem from files, which are read now, to report what is
 * wrong with them, and again before each connect, so that certificates can be renewed in the field.
 *
 * Errors:
 * ALIOT_RESULT_TLS_CONFIG names the file and says what is wrong with it; ALIOT_RESULT_INVALID_STATE
 * if the library was built without client certificates.
 *
 * Safety:
 * `certificate_path` and `key_path` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_client_certificate_files(aliot_endpoint *endpoint,
                                                         const char *certificate_path,
                                                         const char *key_path);

/**
 * Connects through an HTTP proxy that takes CONNECT.
 *
 * The proxy looks the platform's name up. It sees where the device connects to, and nothing of what
 * passes: TLS goes through it. `user` and `password` are 1 to 255 and 0 to 255 bytes, or both NULL;
 * a proxy reads them in clear text. The proxy replaces one that was set before.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the password.
 *
 * Safety:
 * `host` must be NULL or NUL-terminated, as must `user` and `password`.
 */
aliot_result aliot_endpoint_set_http_proxy(aliot_endpoint *endpoint,
                                           const char *host,
                                           uint16_t port,
                                           const char *user,
                                           const char *password);

/**
 * Connects through a SOCKS5 proxy; as aliot_endpoint_set_http_proxy.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT names the argument, never the password.
 *
 * Safety:
 * `host` must be NULL or NUL-terminated, as must `user` and `password`.
 */
aliot_result aliot_endpoint_set_socks5_proxy(aliot_endpoint *endpoint,
                                             const char *host,
                                             uint16_t port,
                                             const char *user,
                                             const char *password);

/**
 * Speaks MQTT inside a WebSocket: "wss", or "ws" on an endpoint without TLS.
 *
 * `path` is what stands behind the host in its address, such as "/" or "/mqtt". The platform serves
 * it on port 443, path "/". The port stays what it is.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT unless `path` begins with '/' and has at most 1024 printable
 * characters of ASCII; ALIOT_RESULT_INVALID_STATE if the library was built without WebSocket.
 *
 * Safety:
 * `path` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_websocket(aliot_endpoint *endpoint, const char *path);

/**
 * Connects from this address of the device, and so only to addresses of its family.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `address` is no IPv4 or IPv6 address. Whether the device has it
 * shows when it connects.
 *
 * Safety:
 * `address` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_local_address(aliot_endpoint *endpoint, const char *address);

/**
 * Connects through this network interface, such as "eth0", whatever the routes say. On Linux alone,
 * and before Linux 5.7 only with the capability CAP_NET_RAW.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `name` cannot be the name of one. Whether the device has it
 * shows when it connects.
 *
 * Safety:
 * `name` must be NULL or NUL-terminated.
 */
aliot_result aliot_endpoint_set_interface(aliot_endpoint *endpoint, const char *name);

/**
 * Which addresses of the host are dialled. Default ALIOT_ADDRESS_FAMILY_ANY.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `family` is not a value of aliot_address_family.
 */
aliot_result aliot_endpoint_set_address_family(aliot_endpoint *endpoint,
                                               aliot_address_family family);

/* ---- Config: how the client behaves ---------------------------------------------------------- */

/**
 * Makes a config with the platform's limits and the defaults below. It keeps copies of `identity`
 * and `endpoint` as they are now.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if identity and endpoint make no host name, or if the identity
 * proves itself by a certificate and the endpoint has no client certificate or no TLS;
 * ALIOT_RESULT_TLS_CONFIG if a TLS setting of the endpoint failed.
 *
 * Safety:
 * `config_out` must be NULL or valid for writing.
 */
aliot_result aliot_config_create(const aliot_identity *identity,
                                 const aliot_endpoint *endpoint,
                                 aliot_config **config_out);

/**
 * Ends the life of the handle. Clients made from the config keep their copy. NULL and a destroyed
 * handle do nothing.
 */
void aliot_config_destroy(aliot_config *config);

/**
 * How the password is signed. Default ALIOT_SIGN_METHOD_HMAC_SHA256. Means nothing for an identity
 * with a token or a verbatim one.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `method` is not a value of aliot_sign_method.
 */
aliot_result aliot_config_set_sign_method(aliot_config *config, aliot_sign_method method);

/**
 * How the digits of the signature are written. Default ALIOT_HEX_CASE_UPPER.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `hex_case` is not a value of aliot_hex_case.
 */
aliot_result aliot_config_set_hex_case(aliot_config *config, aliot_hex_case hex_case);

/**
 * The part of the MQTT client id before '|': 1 to 64 characters without '|', ',', '=' and control
 * characters. Default: "<product key>.<device name>".
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT for another text; ALIOT_RESULT_INVALID_STATE if the identity
 * brings its client id.
 *
 * Safety:
 * `client_id` must be NULL or NUL-terminated.
 */
aliot_result aliot_config_set_client_id(aliot_config *config, const char *client_id);

/** Whether the client id is part of what is signed. Default true; the platform takes either. */
aliot_result aliot_config_set_sign_client_id(aliot_config *config, bool signed_too);

/**
 * The timestamp that is sent and signed: 1 to 20 decimal digits; NULL leaves it out. Default
 * "2524608000000", a constant, so that a device needs no clock.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT for another text.
 *
 * Safety:
 * `timestamp` must be NULL or NUL-terminated.
 */
aliot_result aliot_config_set_timestamp(aliot_config *config, const char *timestamp);

/**
 * Adds "key=value" between the '|' of the MQTT client id, after the library's own parameters and
 * in the order of the calls. It is not signed.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `key` is empty, was added before or is one of the library's
 * own, if either text contains '|', ',', '=' or a control character, or if the client id would
 * exceed 65535 bytes; ALIOT_RESULT_INVALID_STATE for a verbatim identity.
 *
 * Safety:
 * `key` and `value` must be NULL or NUL-terminated.
 */
aliot_result aliot_config_add_client_param(aliot_config *config,
                                           const char *key,
                                           const char *value);

/**
 * Whether the platform is asked to say when another connection with the same identity replaces
 * this one ("ext=2" in the client id). Default true.
 */
aliot_result aliot_config_set_kick_notice(aliot_config *config, bool wanted);

/**
 * Whether the platform forgets the session at each connect, so that commands sent during an outage
 * do not run after it. Default true. What the library accepted is kept either way.
 */
aliot_result aliot_config_set_clean_session(aliot_config *config, bool clean);

/**
 * Keep-alive interval in seconds: 30..1200, default 300. On the private profile 1..65535, or 0 for
 * none.
 *
 * Source: "Establish MQTT connections", keep-alive.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_keep_alive_s(aliot_config *config, uint16_t seconds);

/**
 * How long a ping may stay unanswered before the link counts as dead: 100..120000, default 10000.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_ping_timeout_ms(aliot_config *config, uint32_t timeout_ms);

/**
 * How long nothing may be acknowledged, while something is owed, before the link counts as dead:
 * 1000..3600000, default 30000.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_ack_timeout_ms(aliot_config *config, uint32_t timeout_ms);

/**
 * Delay before the second attempt and longest delay: 1000..3600000, default 1000 and 120000; from
 * 1 on the private profile. If both are 0, the client does not reconnect: it stops after an attempt
 * that failed and after a connection that ended.
 *
 * The delay doubles with each failure, half of it is random, and it starts over once a connection
 * has held for 60 seconds. Refused credentials wait the longest delay at once, less up to a quarter
 * at random.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range or if `min_ms` exceeds `max_ms`.
 */
aliot_result aliot_config_set_reconnect_ms(aliot_config *config, uint32_t min_ms, uint32_t max_ms);

/**
 * Attempts to connect in any minute, counted per identity and process: 1..5, default 5. On the
 * private profile 1..60000, or 0 for any number, which is the default there. An attempt that ends
 * before TCP begins (a clock that is not set, a file that cannot be read, a name that is not found)
 * does not count.
 *
 * Source: the platform's limits, connects per device and minute.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_connects_per_minute(aliot_config *config, uint32_t connects);

/**
 * Most operations and bytes that wait for the platform: at least 1 and 262288, which hold one
 * message of the largest size. Publishing beyond is ALIOT_RESULT_OUTBOX_FULL. Default 1000 and
 * 4194304. On the private profile the least bytes follow its limits, or else the payload limit
 * follows the bytes.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if either does not hold one message of the largest size.
 */
aliot_result aliot_config_set_outbox_limit(aliot_config *config, uint32_t operations, size_t bytes);

/**
 * Most QoS 1 messages under way to the platform at a time: 1..16384, default 100.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_window(aliot_config *config, uint16_t messages);

/**
 * Most QoS 1 messages, and bytes of all messages, that wait for slow callbacks: at least 1 and
 * 262288, which hold one message of the largest size. Default 100 and 4194304. On the private
 * profile the least bytes follow its limits, or else the payload limit follows the bytes.
 *
 * Beyond the bytes, QoS 0 messages are dropped and counted. Beyond either, a QoS 1 message waits,
 * and nothing is read until callbacks return, which slows the platform down; if none returns for
 * 5 s, the connection is closed with ALIOT_RESULT_INBOX_OVERFLOW. What was not acknowledged by then
 * the platform delivers again if the session is kept (aliot_config_set_clean_session); else it is
 * lost.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if either does not hold one message of the largest size.
 */
aliot_result aliot_config_set_inbox_limit(aliot_config *config, uint32_t messages, size_t bytes);

/* ---- Config: when something has to give ------------------------------------------------------ */

/**
 * What happens when the outbox is full. Default ALIOT_OUTBOX_POLICY_REFUSE_NEW.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `policy` is not a value of aliot_outbox_policy.
 */
aliot_result aliot_config_set_outbox_policy(aliot_config *config, aliot_outbox_policy policy);

/**
 * What happens when another connection with the same identity takes over. Default
 * ALIOT_TAKE_OVER_POLICY_WAIT.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `policy` is not a value of aliot_take_over_policy.
 */
aliot_result aliot_config_set_take_over_policy(aliot_config *config, aliot_take_over_policy policy);

/**
 * Sends no more than the platform takes from one device, 30 messages of QoS 0 and 10 of QoS 1 a
 * second: what exceeds that it drops in silence. Off by default, because the limits of an instance
 * can be raised.
 *
 * Source: the platform's page on limits.
 */
aliot_result aliot_config_use_platform_rates(aliot_config *config);

/**
 * Sends at most so many messages of QoS 0 and of QoS 1 a second: 1..10000 each, or 0 for any
 * number, which is the default. What waits counts against the outbox. Because messages are late by
 * turns on their way, what follows a burst of so many leaves 1.1 s after it: in the long run the
 * rate is a tenth lower.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_rates(aliot_config *config,
                                    uint32_t qos_0_per_second,
                                    uint32_t qos_1_per_second);

/* ---- Config: limits of a private platform ---------------------------------------------------- */

/**
 * Replaces the platform's limits by MQTT's own, for a private platform or a test bench; each then
 * has a setter. What was set before stays.
 */
aliot_result aliot_config_use_private_profile(aliot_config *config);

/**
 * Longest payload in bytes: up to what outbox and inbox have room for, which is the default.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
 * ALIOT_RESULT_INVALID_ARGUMENT beyond that.
 */
aliot_result aliot_config_set_payload_limit(aliot_config *config, size_t bytes);

/**
 * Longest topic or filter in bytes: 1..65535, which is the default. Outbox and inbox must have room
 * for it beside the payload limit, if that was set: the maximum is lower where they have not.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_topic_limit(aliot_config *config, size_t bytes);

/**
 * Most subscriptions at a time: at least 1. Default: any number.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_subscription_limit(aliot_config *config, size_t subscriptions);

/**
 * Most filters in one SUBSCRIBE: 1..4095, which is the default.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_filters_per_packet(aliot_config *config, size_t filters);

/**
 * How long a connection must hold before the delay between attempts starts over: 0..3600000,
 * default 60000.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE without aliot_config_use_private_profile;
 * ALIOT_RESULT_INVALID_ARGUMENT outside that range.
 */
aliot_result aliot_config_set_stable_after_ms(aliot_config *config, uint32_t time_ms);

/* ---- Credentials: for firmware with its own MQTT stack --------------------------------------- */

/**
 * Makes what the client would send in CONNECT, for devices that bring their own MQTT stack.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if the config's parts do not fit together.
 *
 * Safety:
 * `credentials_out` must be NULL or valid for writing.
 */
aliot_result aliot_credentials_create(const aliot_config *config,
                                      aliot_credentials **credentials_out);

/**
 * Ends the life of the handle and of the texts its accessors returned, and overwrites the
 * password. NULL and a destroyed handle do nothing.
 */
void aliot_credentials_destroy(aliot_credentials *credentials);

/** Client id of CONNECT, with everything between its '|'. NULL for a bad handle. */
const char *aliot_credentials_client_id(const aliot_credentials *credentials);

/** User name of CONNECT. NULL for a bad handle. */
const char *aliot_credentials_username(const aliot_credentials *credentials);

/** Password of CONNECT. NULL for a bad handle. */
const char *aliot_credentials_password(const aliot_credentials *credentials);

/* ---- Runtime: where clients run -------------------------------------------------------------- */

/**
 * Starts two threads, which take turns at the network and at callbacks, or for ALIOT_DISPATCH_POLL
 * a network thread.
 *
 * Few programs need it: clients that name no runtime share one of the kind ALIOT_DISPATCH_THREAD.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `dispatch` is not a value of aliot_dispatch;
 * ALIOT_RESULT_NO_RESOURCES if the system has no thread or descriptor left.
 *
 * Safety:
 * `runtime_out` must be NULL or valid for writing.
 */
aliot_result aliot_runtime_create(aliot_dispatch dispatch, aliot_runtime **runtime_out);

/**
 * Ends the life of the handle. The threads end with the last client and the last registration on
 * the runtime; if there is none any more, nor a poll, this waits until they have, and for a
 * callback that one of them may be in, except inside a callback. Nothing else waits for threads.
 *
 * On an ALIOT_DISPATCH_POLL runtime it ends an aliot_runtime_poll in progress, which finishes with
 * the client that it is at, 256 callbacks at most, and returns ALIOT_RESULT_OK. Outside callbacks
 * this waits for that poll and runs, on this thread, what clients that were destroyed inside
 * callbacks still have to complete and release, and `on_end` of each registration that has ended,
 * because the platform gives a secret only once; when it returns, nothing calls back for a client
 * that outlives the handle, except aliot_client_destroy, and a registration that ends later only
 * releases. Inside a callback it does not wait: the poll in progress runs what is owed, or if there
 * is none the network thread of the runtime, but for `on_end`, in place of which it only releases.
 * So does that thread for clients that are destroyed inside callbacks later; such callbacks hold up
 * the network of the other clients of this runtime. NULL and a destroyed handle do nothing.
 */
void aliot_runtime_destroy(aliot_runtime *runtime);

/**
 * Runs the callbacks that are due, on this thread. Waits up to `timeout_ms` for the first; 0 does
 * not wait, UINT32_MAX waits for ever.
 *
 * Blocks. Stores the number of callbacks that ran through `count_out`, which may be NULL; running
 * none is ALIOT_RESULT_OK with 0, when the time is over or sooner, as it is when another thread
 * destroys the runtime: the next call answers ALIOT_RESULT_BAD_HANDLE.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE on an ALIOT_DISPATCH_THREAD runtime, while another thread polls this
 * one, and if another destroys it at that moment; ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
 *
 * Safety:
 * `count_out` must be NULL or valid for writing.
 */
aliot_result aliot_runtime_poll(aliot_runtime *runtime, uint32_t timeout_ms, size_t *count_out);

/**
 * A descriptor that is readable while aliot_runtime_poll has callbacks to run, for select, poll,
 * epoll and event loops built on them.
 *
 * It belongs to the runtime: do not read, write or close it. -1 for a bad handle and for an
 * ALIOT_DISPATCH_THREAD runtime.
 */
int aliot_runtime_fd(const aliot_runtime *runtime);

/* ---- Client: the connection ------------------------------------------------------------------ */

/**
 * Makes a stopped client from a copy of `config`, on the runtime that clients share by default.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if the config's parts do not fit together;
 * ALIOT_RESULT_TLS_CONFIG if the endpoint's CA file has become unusable;
 * ALIOT_RESULT_NO_RESOURCES if the system has no thread or descriptor left.
 *
 * Safety:
 * `client_out` must be NULL or valid for writing.
 */
aliot_result aliot_client_create(const aliot_config *config, aliot_client **client_out);

/**
 * Makes a stopped client from a copy of `config`, on `runtime`.
 *
 * Errors:
 * As aliot_client_create.
 *
 * Safety:
 * `client_out` must be NULL or valid for writing.
 */
aliot_result aliot_client_create_on_runtime(const aliot_config *config,
                                            aliot_runtime *runtime,
                                            aliot_client **client_out);

/**
 * Stops at once, cancels what is queued and releases all user data.
 *
 * The handle is bad from the start of the call on, also for the callbacks that deliver the
 * cancelled completions. Outside callbacks it waits for a callback of the client that is running
 * on another thread, and delivers the remaining completions and releases inside this call, on
 * either kind of runtime: when it returns, no callback of the client runs or will run.
 *
 * It does not wait for the network. From an open connection the library takes its leave in the
 * background, with a DISCONNECT, in 2 seconds at most; a process that ends sooner leaves without.
 *
 * Inside a callback, of this client or of another, it does not wait: the completions and releases,
 * and nothing else, run where the client's callbacks run, after the one that may be running, or
 * where aliot_runtime_destroy says if that was called for an ALIOT_DISPATCH_POLL runtime. NULL and
 * a destroyed handle do nothing, and do not wait for another thread that is destroying it.
 */
void aliot_client_destroy(aliot_client *client);

/**
 * Connects, and stays connected until aliot_client_stop. Does not wait; events tell how it goes.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE unless the client is stopped.
 */
aliot_result aliot_client_start(aliot_client *client);

/**
 * Stops once what is queued has been sent and acknowledged and the callbacks of the QoS 1 messages
 * that had arrived have returned, or `drain_timeout_ms` has passed.
 *
 * So the message whose callback calls this is acknowledged, and does not come again after the next
 * start. On an ALIOT_DISPATCH_POLL runtime, callbacks return only if somebody polls.
 *
 * Does not wait. Until the event STOPPED, publishing and subscribing answer ALIOT_RESULT_CLOSING;
 * what is left at the deadline completes with ALIOT_RESULT_CANCELLED. 0 stops at once. Without a
 * connection the drain goes on waiting for one: in an outage, 0 is the answer. DISCONNECT follows
 * the drain and takes 2 seconds at most. A stopped client can be started again, and keeps its
 * subscriptions and callbacks. Does nothing if the client is stopped.
 */
aliot_result aliot_client_stop(aliot_client *client, uint32_t drain_timeout_ms);

/**
 * Ends the wait between two attempts, for an application that knows the network is back.
 *
 * The platform's limit of connects in a minute holds.
 *
 * Connected: asks the platform whether it is still there, for an application that knows that the
 * device slept or the network changed. If no answer comes within the time that
 * aliot_config_set_ping_timeout_ms allows, the link is dead and the client connects anew. While an
 * answer is awaited, it asks for no second one. Does nothing in any other state.
 */
aliot_result aliot_client_retry_now(aliot_client *client);

/** What the connection is doing; ALIOT_STATE_STOPPED for a bad handle. */
aliot_state aliot_client_state(const aliot_client *client);

/**
 * Blocks until the client is connected, for at most `timeout_ms`.
 *
 * Errors:
 * ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_INVALID_STATE if the client is stopped or stopping, by the
 * application or, with the policies for that, by itself. With both, aliot_last_error and the
 * functions beside it also say why the last attempt failed or the last connection ended, if that is
 * the cause. ALIOT_RESULT_CANCELLED if it is destroyed meanwhile; ALIOT_RESULT_WOULD_DEADLOCK
 * inside a callback.
 */
aliot_result aliot_client_wait_connected(aliot_client *client, uint32_t timeout_ms);

/**
 * Blocks until every operation accepted before this call has ended, for at most `timeout_ms`.
 *
 * ALIOT_RESULT_OK says that they have ended; how, their completions say. No callback has to run
 * for it, so the thread that polls a runtime may wait as well.
 *
 * Errors:
 * ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
 * ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
 */
aliot_result aliot_client_wait_flushed(aliot_client *client, uint32_t timeout_ms);

/**
 * Blocks until at least half of the outbox is free, and half of the room for completions that the
 * application has not taken, for at most `timeout_ms`.
 *
 * For a program that publishes as fast as the network takes it: after ALIOT_RESULT_OUTBOX_FULL,
 * wait and publish again. With a runtime that is polled, call aliot_runtime_poll before that:
 * nothing else takes completions.
 *
 * Errors:
 * ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
 * ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
 */
aliot_result aliot_client_wait_room(aliot_client *client, uint32_t timeout_ms);

/**
 * Blocks until the client has stopped, for at most `timeout_ms`. Does not stop it.
 *
 * Errors:
 * ALIOT_RESULT_TIMEOUT; ALIOT_RESULT_CANCELLED if the client is destroyed meanwhile;
 * ALIOT_RESULT_WOULD_DEADLOCK inside a callback.
 */
aliot_result aliot_client_wait_stopped(aliot_client *client, uint32_t timeout_ms);

/**
 * Queues a message, connected or not.
 *
 * `topic` is 1 to 128 bytes without '+' and '#'; a topic of the product's own has at most seven
 * slashes. `payload` is up to 262144 bytes; NULL with length 0 is an empty one. Both are copied.
 *
 * `token_out` receives the token of the completion, which may come before this call returns. With
 * NULL, a QoS 0 message has no completion; MESSAGES_DROPPED tells if it was lost.
 *
 * A QoS 0 message is done when the system has taken it, or TLS, which holds up to 32 KiB that the
 * system has not taken. Whether it arrives is not known to anybody: QoS 1 is for that.
 *
 * Messages of one QoS are sent in the order in which they were accepted; those of the two may
 * overtake each other.
 *
 * A QoS 1 message is sent on each connection until it is acknowledged. A platform may close the
 * connection instead, because the device has no right to the topic: that message and those behind
 * it then stay until it expires (aliot_client_publish_expiring) or the client is stopped. Nothing
 * else gives it up. From the third such connection in a row on, DISCONNECTED has
 * ALIOT_RESULT_CLOSED_BY_PEER, ALIOT_STAGE_PLATFORM, and a text that names topic and token.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT; ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while
 * aliot_client_stop drains.
 *
 * Safety:
 * `topic` must be NULL or NUL-terminated, `payload` NULL or point to `payload_len` bytes,
 * `token_out` NULL or valid for writing.
 */
aliot_result aliot_client_publish(aliot_client *client,
                                  const char *topic,
                                  const void *payload,
                                  size_t payload_len,
                                  aliot_qos qos,
                                  aliot_token *token_out);

/**
 * Queues a QoS 1 message that is of no use later than `lifetime_ms` milliseconds from now, 1 or
 * more.
 *
 * If it has not been acknowledged by then, it completes as ALIOT_RESULT_EXPIRED: it may have been
 * delivered. Everything else is as with aliot_client_publish; `token_out` may be NULL.
 *
 * Errors:
 * As aliot_client_publish.
 *
 * Safety:
 * As aliot_client_publish.
 */
aliot_result aliot_client_publish_expiring(aliot_client *client,
                                           const char *topic,
                                           const void *payload,
                                           size_t payload_len,
                                           uint32_t lifetime_ms,
                                           aliot_token *token_out);

/**
 * Calls `on_message` for every message whose topic matches `filter`, now and after every
 * reconnect. Allowed in every state, before the first start as well.
 *
 * The completion says what the platform granted. Subscribing to the same filter again replaces its
 * callback and releases the user data of the former one. `token_out` may be NULL.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter of at most 128 bytes, and for
 * more than 100 subscriptions; ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while
 * aliot_client_stop drains. After an error `userdata` has not been touched.
 *
 * Safety:
 * `filter` must be NULL or NUL-terminated, `token_out` NULL or valid for writing. `userdata` must
 * be usable from one thread at a time until it is released.
 */
aliot_result aliot_client_subscribe(aliot_client *client,
                                    const char *filter,
                                    aliot_qos qos,
                                    aliot_message_cb on_message,
                                    void *userdata,
                                    aliot_release_cb release,
                                    aliot_token *token_out);

/**
 * Ends the subscription to `filter` and releases its user data. `token_out` may be NULL.
 *
 * Its callback gets nothing that arrives from now on. A filter that was never subscribed to is sent
 * all the same, for the platform subscribes devices to some topics on its own.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter of at most 128 bytes;
 * ALIOT_RESULT_OUTBOX_FULL; ALIOT_RESULT_CLOSING while aliot_client_stop drains.
 *
 * Safety:
 * `filter` must be NULL or NUL-terminated, `token_out` NULL or valid for writing.
 */
aliot_result aliot_client_unsubscribe(aliot_client *client,
                                      const char *filter,
                                      aliot_token *token_out);

/** A counter of the client; 0 for a bad handle and for a value that is not one of aliot_counter. */
uint64_t aliot_client_counter(const aliot_client *client, aliot_counter counter);

/**
 * Sets the callback that receives the client's events; NULL removes it.
 *
 * With a NULL `on_event`, `userdata` and `release` are ignored.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE unless the client is stopped.
 *
 * Safety:
 * `userdata` must be usable from one thread at a time until it is released.
 */
aliot_result aliot_client_set_event_callback(aliot_client *client,
                                             aliot_event_cb on_event,
                                             void *userdata,
                                             aliot_release_cb release);

/**
 * Sets the callback that receives the end of each operation; NULL removes it.
 *
 * Operations are messages, subscriptions and their ends. Each has a completion, also without a
 * token, except a QoS 0 message without one. With a NULL `on_completion`, `userdata` and `release`
 * are ignored.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE unless the client is stopped.
 *
 * Safety:
 * `userdata` must be usable from one thread at a time until it is released.
 */
aliot_result aliot_client_set_completion_callback(aliot_client *client,
                                                  aliot_completion_cb on_completion,
                                                  void *userdata,
                                                  aliot_release_cb release);

/**
 * Sets the callback for messages that match no subscription; NULL removes it.
 *
 * The platform subscribes devices to some of its topics on its own. Without this callback such
 * messages are acknowledged and discarded. With a NULL `on_message`, `userdata` and `release` are
 * ignored.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_STATE unless the client is stopped.
 *
 * Safety:
 * `userdata` must be usable from one thread at a time until it is released.
 */
aliot_result aliot_client_set_message_callback(aliot_client *client,
                                               aliot_message_cb on_message,
                                               void *userdata,
                                               aliot_release_cb release);

/* ---- Pure helpers ---------------------------------------------------------------------------- */

/**
 * Writes the signature of `content` under `key` in upper case hexadecimal digits.
 *
 * 65 bytes hold the digits of every method and the NUL. ALIOT_SIGN_METHOD_SHA256 is the SHA-256 of
 * `content` followed by `key`; the other methods are HMACs.
 *
 * Errors:
 * ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written; ALIOT_RESULT_INVALID_ARGUMENT if `method`
 * is not a value of aliot_sign_method.
 *
 * Safety:
 * `key` and `content` must be NULL or point to as many bytes as the length after them says,
 * `buffer` must be NULL or have room for `capacity` bytes.
 */
aliot_result aliot_sign(aliot_sign_method method,
                        const void *key,
                        size_t key_len,
                        const void *content,
                        size_t content_len,
                        char *buffer,
                        size_t capacity);

/**
 * Says what keeps a client id, user name and password that someone else made from signing the
 * device in, and which change mends it.
 *
 * `product_secret` may be NULL; if given, its use in place of the device secret is recognised.
 * `endpoint` may be NULL; if given, securemode must fit it. The most important mistake is stored
 * through `finding_out`. `buffer` receives all of them in words, each with its remedy, as far as
 * `capacity` allows: 2048 bytes hold any. It may be NULL if `capacity` is 0. No text contains a
 * secret or anything else of what was submitted. Uses no network.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT for an identity that does not sign: with a device token, with a
 * certificate, or a verbatim one; ALIOT_RESULT_INVALID_STATE if the library was built without this
 * check.
 *
 * Safety:
 * `product_secret`, `client_id`, `username` and `password` must be NULL or NUL-terminated,
 * `finding_out` NULL or valid for writing, `buffer` NULL or have room for `capacity` bytes.
 */
aliot_result aliot_sign_check(const aliot_identity *identity,
                              const char *product_secret,
                              const aliot_endpoint *endpoint,
                              const char *client_id,
                              const char *username,
                              const char *password,
                              aliot_sign_finding *finding_out,
                              char *buffer,
                              size_t capacity);

/**
 * Writes "/<product key>/<device name>/user/<suffix>", a topic of the product's own.
 * The suffixes of a new product are "update", "update/error" and "get".
 *
 * Errors:
 * ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written: 129 bytes hold every topic of the platform;
 * ALIOT_RESULT_INVALID_ARGUMENT for a suffix that makes no topic, for a verbatim identity, and for
 * that of a certificate whose names are not known.
 *
 * Safety:
 * `suffix` must be NULL or NUL-terminated, `buffer` NULL or have room for `capacity` bytes.
 */
aliot_result aliot_topic_user(const aliot_identity *identity,
                              const char *suffix,
                              char *buffer,
                              size_t capacity);

/**
 * Writes "/sys/<product key>/<device name>/<suffix>", a topic of the platform. A suffix is, for
 * instance, "thing/event/property/post".
 *
 * Errors:
 * ALIOT_RESULT_BUFFER_TOO_SMALL, with nothing written: 129 bytes hold every topic of the platform;
 * ALIOT_RESULT_INVALID_ARGUMENT for a suffix that makes no topic, for a verbatim identity, and for
 * that of a certificate whose names are not known.
 *
 * Safety:
 * `suffix` must be NULL or NUL-terminated, `buffer` NULL or have room for `capacity` bytes.
 */
aliot_result aliot_topic_sys(const aliot_identity *identity,
                             const char *suffix,
                             char *buffer,
                             size_t capacity);

/**
 * Whether a message published to `topic` reaches a subscription to `filter`.
 *
 * Source: MQTT 3.1.1, 4.7.
 *
 * Errors:
 * ALIOT_RESULT_INVALID_ARGUMENT if `filter` is not a topic filter.
 *
 * Safety:
 * `filter` and `topic` must be NULL or NUL-terminated, `matches_out` NULL or valid for writing.
 */
aliot_result aliot_topic_matches(const char *filter, const char *topic, bool *matches_out);

#ifdef __cplusplus
}
#endif

#endif /* ALIOT_H */
