//! Dynamic registration and X.509: the ways to an identity.

use aliot_sim::registry::Secret;
use aliot_sim::signature::Method;
use aliot_sim::{Options, Sim};
use serde_json::Value;

use crate::device::{Connect, Device, Ending, SECRET, sim, sim_with, trusting_pem, wait_for_line};

const PRODUCT_SECRET: &str = "Pq3-product-secret-Ab1";

/// A simulator whose product `pk` has a secret, with the pre-registered device `new`.
fn registering(options: Options) -> Sim {
    let sim = sim_with(options);
    sim.edit_registry(|registry| {
        registry.products.get_mut("pk").unwrap().secret = Some(Secret::from(PRODUCT_SECRET));
        registry.device_entry("pk", "new");
    });
    sim
}

/// A registration of `device_name` with these parameters, signed with `secret`.
fn register(device_name: &str, params: &str, secret: &str) -> Connect {
    let random = params.split("random=").nth(1).unwrap_or("");
    let random = random.split(',').next().unwrap();
    let name = params.split("signmethod=").nth(1).unwrap_or("");
    let name = name.split(',').next().unwrap();
    let method = Method::parse(name).unwrap_or(Method::HmacSha256);
    let content = format!("deviceName{device_name}productKeypkrandom{random}");
    Connect {
        client_id: format!("{device_name}.pk|{params}|"),
        user_name: format!("{device_name}&pk"),
        password: method
            .sign(secret.as_bytes(), content.as_bytes())
            .to_uppercase(),
        // Not looked at in a registration.
        keep_alive: 5,
        clean_session: true,
    }
}

fn given(sim: &Sim, connect: &Connect) -> (String, Value) {
    let mut device = Device::open_tls(sim).unwrap();
    device.send(&connect.bytes());
    assert_eq!(device.conn_ack(), (false, 0), "{:#?}", sim.log_lines());
    let message = device.message();
    assert_eq!(message.qos, 0);
    (
        message.topic,
        serde_json::from_slice(&message.payload).unwrap(),
    )
}

const REGISTER: &str = "random=123,authType=register,securemode=2,signmethod=hmacsha256";
const OPEN: &str = "random=7,authType=regnwl,securemode=-2,signmethod=hmacsha1,instanceId=iot-x";

#[test]
fn a_preregistered_device_is_given_a_secret_that_lets_it_in() {
    let sim = registering(Options::default());
    let (_, first) = given(&sim, &register("new", REGISTER, PRODUCT_SECRET));
    let (topic, second) = given(&sim, &register("new", REGISTER, PRODUCT_SECRET));
    assert_eq!(topic, "/ext/register");
    assert_eq!(
        (&second["productKey"], &second["deviceName"]),
        (&"pk".into(), &"new".into())
    );
    assert_ne!(first["deviceSecret"], second["deviceSecret"]);
    let secret = second["deviceSecret"].as_str().unwrap();
    let params = "securemode=2,signmethod=hmacsha256";
    let mut device = Device::open_tls(&sim).unwrap();
    // The last secret is the one that counts.
    let old = crate::device::signed_as("new", first["deviceSecret"].as_str().unwrap(), params);
    device.send(&old.bytes());
    assert_eq!(device.conn_ack().1, 4);
    let mut device = Device::open_tls(&sim).unwrap();
    device.send(&crate::device::signed_as("new", secret, params).bytes());
    assert_eq!(device.conn_ack().1, 0);
    // From now on it may not register until it is reset.
    assert_eq!(code(&sim, &register("new", REGISTER, PRODUCT_SECRET)), 4);
    wait_for_line(&sim, &["connected already: reset it"]);
    sim.reset_device("pk", "new").unwrap();
    assert_eq!(device.ending(), Ending::Orderly);
    given(&sim, &register("new", REGISTER, PRODUCT_SECRET));
    let log = sim.log_lines().join("\n");
    assert!(!log.contains(secret) && !log.contains(PRODUCT_SECRET));
}

#[test]
fn a_device_that_nobody_knows_is_given_a_token_and_five_may_share_a_name() {
    let sim = registering(Options::default());
    for _ in 0..5 {
        let (topic, token) = given(&sim, &register("found", OPEN, PRODUCT_SECRET));
        assert_eq!(topic, "/ext/regnwl");
        let text = |name: &str| token[name].as_str().unwrap().to_owned();
        let connect = Connect {
            client_id: format!("{}|securemode=-2,authType=connwl|", text("clientId")),
            user_name: "found&pk".into(),
            password: text("deviceToken"),
            keep_alive: 60,
            clean_session: true,
        };
        assert_eq!(code(&sim, &connect), 0);
    }
    assert_eq!(code(&sim, &register("found", OPEN, PRODUCT_SECRET)), 4);
    wait_for_line(&sim, &["5 devices have registered under the name found"]);
}

fn code(sim: &Sim, connect: &Connect) -> u8 {
    let mut device = Device::open_tls(sim).unwrap();
    device.send(&connect.bytes());
    device.conn_ack().1
}

#[test]
fn each_fault_of_a_registration_has_its_code_and_its_sentence() {
    let sim = registering(Options::default());
    sim.add_device("off", "new", "a-secret-of-it");
    sim.edit_registry(|registry| {
        let product = registry.products.get_mut("off").unwrap();
        product.secret = Some(Secret::from(PRODUCT_SECRET));
        product.registration_off = true;
    });
    let with = |params: &str| register("new", params, PRODUCT_SECRET);
    let other = |user_name: &str| Connect {
        user_name: user_name.into(),
        ..with(REGISTER)
    };
    let foreign = |name: &str, content: &str, secret: &str| Connect {
        password: Method::HmacSha256.sign(secret.as_bytes(), content.as_bytes()),
        ..register(name, REGISTER, PRODUCT_SECRET)
    };
    let right = "deviceNamenewproductKeypkrandom123";
    for (connect, expected, line) in [
        (
            with("authType=register,securemode=2,signmethod=hmacsha1"),
            2,
            "random is missing",
        ),
        (
            with("random=1,authType=register,signmethod=hmacsha1"),
            2,
            "securemode is missing",
        ),
        (
            with("random=1,authType=register,securemode=3,signmethod=hmacsha1"),
            2,
            "it is 2 or -2",
        ),
        (
            with("random=1,authType=register,securemode=2"),
            2,
            "signmethod is missing",
        ),
        (
            with("random=1,authType=register,securemode=2,signmethod=sha256"),
            2,
            "signmethod=sha256 is not known in dynamic registration",
        ),
        (other("new&nope"), 4, "the product key nope is not known"),
        (other("new&off"), 4, "switched off for the product off"),
        (other("a/b&pk"), 2, "holds one of"),
        (
            register("who", REGISTER, PRODUCT_SECRET),
            4,
            "no device named who: add it first",
        ),
        (
            register("dn", REGISTER, SECRET),
            4,
            "the device secret instead of the product secret",
        ),
        (
            foreign("new", &format!("clientIdnew.pk{right}"), PRODUCT_SECRET),
            4,
            "clientId is signed",
        ),
        (
            foreign("new", "deviceNamenewproductKeypk", PRODUCT_SECRET),
            4,
            "random is not signed",
        ),
        (
            register("new", REGISTER, "nonsense"),
            4,
            "no usual mistake explains it",
        ),
        (
            Connect {
                password: PRODUCT_SECRET.into(),
                ..with(REGISTER)
            },
            4,
            "the product secret itself",
        ),
    ] {
        assert_eq!(
            code(&sim, &connect),
            expected,
            "{line}: {:#?}",
            sim.log_lines()
        );
        wait_for_line(&sim, &["refused", &format!("code {expected}"), line]);
    }
    let mut device = Device::open_tcp(&sim);
    device.send(&with(REGISTER).bytes());
    assert_eq!(device.conn_ack().1, 2);
    wait_for_line(&sim, &["dynamic registration over plain TCP"]);
    let log = sim.log_lines().join("\n");
    assert!(!log.contains(PRODUCT_SECRET) && !log.contains(SECRET));
}

#[test]
fn a_registering_client_that_stays_is_closed_and_may_do_nothing_else() {
    let sim = registering(Options {
        time_scale: 0.02,
        ..Options::default()
    });
    let mut device = Device::open_tls(&sim).unwrap();
    device.send(&register("new", REGISTER, PRODUCT_SECRET).bytes());
    assert_eq!(device.conn_ack().1, 0);
    device.message();
    device.ping();
    assert_eq!(device.subscribe(&[("/pk/new/user/get", 1)]), [0x80]);
    assert!(sim.connections().is_empty());
    assert_eq!(device.ending(), Ending::Orderly);
    wait_for_line(&sim, &["closed the registration of pk/new"]);
}

#[test]
fn a_certificate_signs_in_and_the_identity_is_told() {
    let sim = sim();
    let issued = sim.issue_certificate("pk", "x").unwrap();
    let config = trusting_pem(sim.ca_pem(), Some(&issued));
    let connect = |user_name: &str, id: &str| Connect {
        client_id: id.into(),
        user_name: user_name.into(),
        password: String::new(),
        keep_alive: 60,
        clean_session: true,
    };
    for (user_name, id) in [
        ("&", ".|securemode=2,signmethod=hmacsha1,timestamp=789|"),
        ("", "first"),
        (
            "x&pk",
            "pk.x|securemode=2,signmethod=hmacsha1,timestamp=789|",
        ),
    ] {
        let mut device = Device::open_tls_with(&sim, config.clone()).unwrap();
        device.send(&connect(user_name, id).bytes());
        assert_eq!(device.conn_ack(), (false, 0));
        let message = device.message();
        assert_eq!(message.topic, "/ext/auth/identity/response");
        let identity: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(
            identity,
            serde_json::json!({"productKey": "pk", "deviceName": "x"})
        );
        assert_eq!(device.subscribe(&[("/pk/x/user/get", 1)]), [1]);
    }
    let mut device = Device::open_tls_with(&sim, config.clone()).unwrap();
    device.send(&connect("dn&pk", "pk.dn|securemode=2|").bytes());
    assert_eq!(device.conn_ack().1, 4);
    wait_for_line(&sim, &["code 4: the client certificate is that of pk/x"]);
    // A newer certificate replaces the older one.
    sim.issue_certificate("pk", "x").unwrap();
    let mut device = Device::open_tls_with(&sim, config).unwrap();
    device.send(&connect("&", ".|securemode=2|").bytes());
    assert_eq!(device.conn_ack().1, 4);
    wait_for_line(&sim, &["the client certificate belongs to no device"]);
    // Without one, there is nothing to tell who it is.
    let mut device = Device::open_tls(&sim).unwrap();
    device.send(&connect("x&pk", "pk.x|securemode=2|").bytes());
    assert_eq!(device.conn_ack().1, 4);
    wait_for_line(&sim, &["signs in with its X.509 certificate"]);
}

#[test]
fn a_certificate_of_another_authority_does_not_pass_the_handshake() {
    let (sim, stranger) = (sim(), sim_with(Options::default()));
    let issued = stranger.issue_certificate("pk", "x").unwrap();
    let config = trusting_pem(sim.ca_pem(), Some(&issued));
    // With TLS 1.3 the client learns of it only when it reads.
    if let Ok(mut device) = Device::open_tls_with(&sim, config) {
        device.send_if_open(&[0xC0, 0]);
    }
    wait_for_line(
        &sim,
        &["TLS handshake", "none of the simulator's device authority"],
    );
}

#[test]
fn the_sixth_connect_in_a_minute_is_refused() {
    let sim = registering(Options {
        connects_per_minute: Some(5),
        // The minute lasts 3 s.
        time_scale: 0.05,
        ..Options::default()
    });
    let connect = crate::device::signed("");
    let attempt = || {
        let mut device = Device::open_tcp(&sim);
        device.send(&connect.bytes());
        device.conn_ack().1
    };
    for _ in 0..5 {
        assert_eq!(attempt(), 0);
    }
    assert_eq!(attempt(), 3);
    wait_for_line(
        &sim,
        &["code 3: more than 5 connects of one device in a minute"],
    );
    let start = std::time::Instant::now();
    while attempt() != 0 {
        assert!(start.elapsed() < crate::device::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
