//! The C interface: any sequence of calls with any arguments and handles, live, stale, foreign and
//! made up. Nothing crashes, and user data is released exactly once if it was taken, else never.
//!
//! What C must keep to is kept to: pointers are NULL or good, texts end with NUL. Nothing leaves the
//! machine: whatever is dialled goes through a proxy on a port of it where nobody listens.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aliot::ffi::*;

use crate::input::Input;

/// Calls in one run.
const MAX_CALLS: usize = 60;
/// Clients and runtimes in one run: each may have a thread of its own.
const MAX_THREADED: usize = 4;
/// Longest that a call may block, in milliseconds.
const BLOCK_MS: u32 = 2;
/// In the action of data: the callbacks do nothing with it.
const NO_ACTION: u8 = 128;
/// How long releases that are due may take.
const PATIENCE: Duration = Duration::from_secs(10);

const TOPIC: *const c_char = c"a/b".as_ptr();

const TEXTS: [&[u8]; 24] = [
    b"",
    b"pk",
    b"dn",
    b"secret",
    b"cn-shanghai",
    b"iot-0001",
    b"127.0.0.1",
    b"::1",
    b"localhost",
    b"a/b",
    b"/pk/dn/user/update",
    b"/pk/dn/user/+",
    b"#",
    b"+/b",
    b"update",
    b"/",
    b"lo",
    b"dn&pk",
    b"pk.dn|securemode=2,signmethod=hmacsha256,timestamp=2524608000000|",
    b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    b"\xff\xfe",
    b"a\nb",
    b"%s%n",
    b"\xe4\xb8\xad\xe6\x96\x87",
];

/// Files that a run may write and read, in a folder of its own, and others that it may read.
const FILES: [&str; 8] = [
    "a",
    "b",
    "/nowhere/a",
    "/dev/null",
    "/proc/self/mem",
    "/",
    ".",
    "a/b",
];

/// User data as the library sees it, with what became of it.
struct Data {
    action: u8,
    is_taken: AtomicUsize,
    released: AtomicUsize,
    /// A client to act on, and a runtime.
    client: AtomicUsize,
    runtime: AtomicUsize,
}

/// The data behind `userdata`.
///
/// # Safety
///
/// It must be NULL or come from [`Run::data`], which keeps it alive until the end of the run.
unsafe fn data<'a>(userdata: *mut c_void) -> Option<&'a Data> {
    // SAFETY: the contract of this function.
    unsafe { userdata.cast::<Data>().as_ref() }
}

unsafe extern "C" fn release(userdata: *mut c_void) {
    // SAFETY: the library got it from `Run::data`.
    if let Some(data) = unsafe { data(userdata) } {
        let before = data.released.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "user data was released twice");
        act(data, true);
    }
}

/// What an application might do in a callback.
fn act(data: &Data, in_release: bool) {
    assert!(
        in_release || data.released.load(Ordering::SeqCst) == 0,
        "a callback got user data that was released"
    );
    let client = without_provenance_mut(data.client.load(Ordering::SeqCst));
    let runtime = without_provenance_mut(data.runtime.load(Ordering::SeqCst));
    if data.action & NO_ACTION != 0 {
        return;
    }
    match data.action % 12 {
        0 => aliot_client_destroy(client),
        1 => any(aliot_client_stop(client, 0)),
        2 => any(aliot_client_start(client)),
        3 if !in_release => {
            let waited = aliot_client_wait_flushed(client, 10_000);
            let is_refused = matches!(
                waited,
                aliot_result::WouldDeadlock | aliot_result::BadHandle | aliot_result::NullPointer
            );
            assert!(is_refused, "{waited:?}");
        }
        // SAFETY: the topic ends with NUL, the others may be NULL.
        4 => any(unsafe { aliot_client_publish(client, TOPIC, null(), 0, 1, null_mut()) }),
        5 => {
            let (none, callback) = (null_mut(), Some(on_message as _));
            // SAFETY: as above.
            any(unsafe {
                aliot_client_subscribe(client, TOPIC, 1, callback, none, None, null_mut())
            });
        }
        // SAFETY: as above.
        6 => any(unsafe { aliot_client_set_event_callback(client, None, null_mut(), None) }),
        // SAFETY: as above.
        7 => any(unsafe { aliot_runtime_poll(runtime, 0, null_mut()) }),
        8 => aliot_runtime_destroy(runtime),
        _ => {}
    }
}

/// Whatever the result: that there is one counts.
fn any(_: aliot_result) {}

unsafe extern "C" fn on_event(
    _: *mut aliot_client,
    event: *const aliot_event,
    userdata: *mut c_void,
) {
    // SAFETY: the contract of the callback.
    let event = unsafe { event.as_ref() }.expect("an event");
    read(event.text);
    read(event.hint);
    // SAFETY: the library got it from `Run::data`.
    unsafe { data(userdata) }
        .into_iter()
        .for_each(|data| act(data, false));
}

unsafe extern "C" fn on_message(
    _: *mut aliot_client,
    message: *const aliot_message,
    userdata: *mut c_void,
) {
    // SAFETY: the contract of the callback.
    read(unsafe { message.as_ref() }.expect("a message").topic);
    // SAFETY: the library got it from `Run::data`.
    unsafe { data(userdata) }
        .into_iter()
        .for_each(|data| act(data, false));
}

unsafe extern "C" fn on_completion(
    _: *mut aliot_client,
    completion: *const aliot_completion,
    userdata: *mut c_void,
) {
    // SAFETY: the contract of the callback.
    read(unsafe { completion.as_ref() }.expect("a completion").text);
    // SAFETY: the library got it from `Run::data`.
    unsafe { data(userdata) }
        .into_iter()
        .for_each(|data| act(data, false));
}

unsafe extern "C" fn on_end(end: *const aliot_registration_end, userdata: *mut c_void) -> bool {
    // SAFETY: the contract of the callback.
    read(unsafe { end.as_ref() }.expect("an end").text);
    // SAFETY: the library got it from `Run::data`.
    unsafe { data(userdata) }
        .into_iter()
        .for_each(|data| act(data, false));
    true
}

unsafe extern "C" fn on_store(_: *const aliot_identity, _: *mut c_void) -> bool {
    true
}

unsafe extern "C" fn on_time(userdata: *mut c_void) -> u64 {
    // SAFETY: the library got it from `Run::data`.
    unsafe { data(userdata) }.map_or(0, |data| u64::from(data.action) << 24)
}

unsafe extern "C" fn on_record(record: *const aliot_log_record, _: *mut c_void) {
    // SAFETY: the contract of the callback.
    read(unsafe { record.as_ref() }.expect("a record").text);
}

/// A text of the library's: NULL, or UTF-8 that ends with NUL.
fn read(text: *const c_char) {
    if !text.is_null() {
        // SAFETY: what the header promises, which the sanitizer checks.
        let text = unsafe { std::ffi::CStr::from_ptr(text) };
        assert!(text.to_str().is_ok(), "{text:?}");
    }
}

/// Handles of one type that a run has got, destroyed or not.
struct Handles<T>(Vec<*mut T>);

impl<T> Handles<T> {
    fn add(&mut self, result: aliot_result, handle: *mut T) {
        if result == aliot_result::Ok {
            assert!(!handle.is_null() && !self.0.contains(&handle), "{handle:p}");
            self.0.push(handle);
        } else {
            assert!(handle.is_null(), "written in spite of {result:?}");
        }
    }
}

struct Run<'a> {
    input: Input<'a>,
    texts: Vec<CString>,
    data: Vec<Arc<Data>>,
    folder: Option<String>,
    identities: Handles<aliot_identity>,
    endpoints: Handles<aliot_endpoint>,
    configs: Handles<aliot_config>,
    credentials: Handles<aliot_credentials>,
    registrations: Handles<aliot_registration>,
    runtimes: Handles<aliot_runtime>,
    clients: Handles<aliot_client>,
}

macro_rules! handle {
    ($name:ident, $field:ident) => {
        /// A handle: mostly one of its type, live or stale.
        fn $name<T>(&mut self) -> *mut T {
            let choice = self.input.byte();
            match choice {
                0..=7 => null_mut(),
                8..=15 => self.any_handle(),
                16..=19 => without_provenance_mut(self.input.number(8) as usize),
                _ => self
                    .$field
                    .0
                    .iter()
                    .rev()
                    .nth(usize::from(choice) % 3)
                    .or(self.$field.0.first())
                    .map_or(null_mut(), |handle| handle.cast()),
            }
        }
    };
}

impl Run<'_> {
    handle!(identity, identities);
    handle!(endpoint, endpoints);
    handle!(config, configs);
    handle!(credential, credentials);
    handle!(registration, registrations);
    handle!(runtime, runtimes);
    handle!(client, clients);

    /// Any handle of any type.
    fn any_handle<T>(&mut self) -> *mut T {
        let all = [
            self.identities.0.last().map_or(0, |handle| handle.addr()),
            self.endpoints.0.last().map_or(0, |handle| handle.addr()),
            self.configs.0.last().map_or(0, |handle| handle.addr()),
            self.credentials.0.last().map_or(0, |handle| handle.addr()),
            self.registrations
                .0
                .last()
                .map_or(0, |handle| handle.addr()),
            self.runtimes.0.last().map_or(0, |handle| handle.addr()),
            self.clients.0.last().map_or(0, |handle| handle.addr()),
        ];
        without_provenance_mut(all[self.input.below(all.len())])
    }

    fn text(&mut self) -> *const c_char {
        let text = match self.input.byte() {
            0..=7 => return null(),
            choice @ 8..=63 => self.input.bytes().repeat(usize::from(choice) / 16 + 1),
            64..=67 => b"x".repeat(70_000),
            choice => TEXTS[usize::from(choice) % TEXTS.len()].to_vec(),
        };
        let text: Vec<u8> = text.into_iter().take_while(|byte| *byte != 0).collect();
        let text = CString::new(text).expect("it has no NUL");
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }

    fn bytes(&mut self) -> (*const c_void, usize) {
        match self.input.byte() {
            0 => (null(), 0),
            1 => (null(), usize::MAX),
            2 => (null(), 1),
            choice => {
                let bytes = self.input.bytes();
                let len = if choice == 3 { 0 } else { bytes.len() };
                (bytes.as_ptr().cast(), len)
            }
        }
    }

    /// In a folder of this run, if it may be written.
    fn path(&mut self, writes: bool) -> *const c_char {
        let choice = self.input.byte();
        if choice < 8 {
            return null();
        }
        let count = if writes { 2 } else { FILES.len() };
        let name = FILES[usize::from(choice) % count];
        let folder = self.folder.get_or_insert_with(|| {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let memory = Path::new("/dev/shm");
            let root = if memory.is_dir() {
                memory.to_owned()
            } else {
                std::env::temp_dir()
            };
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let folder = root.join(format!("aliot-fuzz-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder for files");
            folder.display().to_string()
        });
        let path = if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        let path = CString::new(path).expect("it has no NUL");
        let pointer = path.as_ptr();
        self.texts.push(path);
        pointer
    }

    /// A value of an enum, or beside them.
    fn choice(&mut self) -> u32 {
        match self.input.byte() {
            choice @ 0..=250 => u32::from(choice) % 8,
            251 => (-2_i32).cast_unsigned(),
            252 => u32::MAX,
            _ => self.input.number(4) as u32,
        }
    }

    fn small(&mut self) -> u32 {
        match self.input.byte() {
            255 => self.input.number(4) as u32,
            254 => u32::MAX,
            small @ 200.. => u32::from(small) * 1000,
            small => u32::from(small),
        }
    }

    fn data(&mut self) -> *mut c_void {
        let action = self.input.byte();
        self.data_for(action)
    }

    /// For a callback that must not call the library.
    fn quiet_data(&mut self) -> *mut c_void {
        let action = self.input.byte() | NO_ACTION;
        self.data_for(action)
    }

    fn data_for(&mut self, action: u8) -> *mut c_void {
        if action == u8::MAX {
            return null_mut();
        }
        let data = Arc::new(Data {
            action,
            is_taken: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            client: AtomicUsize::new(self.client::<c_void>().addr()),
            runtime: AtomicUsize::new(self.runtime::<c_void>().addr()),
        });
        let pointer = Arc::as_ptr(&data).cast_mut().cast();
        self.data.push(data);
        pointer
    }

    /// The data that was made last was taken by a call with this result.
    fn taken(&self, userdata: *mut c_void, result: aliot_result, has_callback: bool) {
        if !userdata.is_null() && result == aliot_result::Ok && has_callback {
            let data = self.data.last().expect("it was made");
            data.is_taken.store(1, Ordering::SeqCst);
        }
    }

    fn block(&mut self) -> u32 {
        u32::from(self.input.byte()) % (BLOCK_MS + 1)
    }

    fn flag(&mut self) -> bool {
        self.input.byte() & 1 == 1
    }

    /// Whatever the endpoint dials ends on this machine.
    fn keep_home(&self, endpoint: *mut aliot_endpoint) {
        // SAFETY: the text ends with NUL.
        let result = unsafe {
            aliot_endpoint_set_http_proxy(endpoint, c"127.0.0.1".as_ptr(), 1, null(), null())
        };
        assert_ne!(result, aliot_result::InvalidArgument);
    }

    fn threaded(&self) -> usize {
        self.clients.0.len() + self.runtimes.0.len()
    }

    /// A made endpoint.
    fn new_endpoint(&mut self, result: aliot_result, endpoint: *mut aliot_endpoint) {
        self.endpoints.add(result, endpoint);
        if result == aliot_result::Ok {
            self.keep_home(endpoint);
        }
    }
}

/// Calls of functions, one after the other, as the bytes say.
pub fn c_interface(bytes: &[u8]) {
    let mut run = Run {
        input: Input::new(bytes),
        texts: Vec::new(),
        data: Vec::new(),
        folder: None,
        identities: Handles(Vec::new()),
        endpoints: Handles(Vec::new()),
        configs: Handles(Vec::new()),
        credentials: Handles(Vec::new()),
        registrations: Handles(Vec::new()),
        runtimes: Handles(Vec::new()),
        clients: Handles(Vec::new()),
    };
    for _ in 0..MAX_CALLS {
        if run.input.is_empty() {
            break;
        }
        // SAFETY: `Run` makes arguments as the header demands.
        unsafe { run.call() };
        let mut buffer = [0; 64];
        // SAFETY: the buffer has that length.
        unsafe { aliot_last_error(buffer.as_mut_ptr(), buffer.len()) };
        read(buffer.as_ptr());
    }
    run.end();
}

impl Run<'_> {
    fn end(mut self) {
        // SAFETY: the arguments may be NULL.
        let reset = unsafe {
            [
                aliot_log_set_callback(0, None, null_mut(), None),
                aliot_clock_set_callback(None, null_mut(), None),
                aliot_clock_set_floor_s(0),
            ]
        };
        assert_eq!(reset, [aliot_result::Ok; 3]);
        for client in self.clients.0.drain(..) {
            aliot_client_destroy(client);
            assert_eq!(aliot_client_start(client), aliot_result::BadHandle);
        }
        self.runtimes
            .0
            .drain(..)
            .for_each(|runtime| aliot_runtime_destroy(runtime));
        self.registrations
            .0
            .drain(..)
            .for_each(|registration| aliot_registration_destroy(registration));
        self.credentials
            .0
            .drain(..)
            .for_each(|credentials| aliot_credentials_destroy(credentials));
        self.configs
            .0
            .drain(..)
            .for_each(|config| aliot_config_destroy(config));
        self.endpoints
            .0
            .drain(..)
            .for_each(|endpoint| aliot_endpoint_destroy(endpoint));
        self.identities
            .0
            .drain(..)
            .for_each(|identity| aliot_identity_destroy(identity));
        let deadline = Instant::now() + PATIENCE;
        for data in &self.data {
            let taken = data.is_taken.load(Ordering::SeqCst);
            // What was handed over inside a callback comes back on the callback's thread.
            while data.released.load(Ordering::SeqCst) < taken {
                assert!(Instant::now() < deadline, "user data was never released");
                std::thread::sleep(Duration::from_micros(100));
            }
            let released = data.released.load(Ordering::SeqCst);
            assert_eq!(released, taken, "user data that was not taken was released");
        }
        if let Some(folder) = self.folder {
            std::fs::remove_dir_all(folder).expect("the folder is there");
        }
    }

    /// One call.
    ///
    /// # Safety
    ///
    /// None: the functions demand what the arguments made here have.
    #[rustfmt::skip]
    unsafe fn call(&mut self) {
        let mut buffer = [0; 256];
        let capacity = usize::from(self.input.byte() % 8) * 32 + usize::from(self.input.byte() & 1);
        let place: *mut c_char = if capacity == 1 { null_mut() } else { buffer.as_mut_ptr() };
        let capacity = capacity.min(buffer.len());
        let rel: aliot_release_cb = Some(release);
        // Where an optional value goes.
        let mut token = 0;
        let token: *mut aliot_token = if self.flag() { &raw mut token } else { null_mut() };
        // What follows is unsafe for the sake of the pointers alone.
        #[allow(unused_unsafe, reason = "one block for all calls reads better than a hundred")]
        // SAFETY: pointers are NULL or good, texts end with NUL, user data lives until the end.
        unsafe {
            match self.input.byte() % 118 {
                0 => { let mut out = null_mut(); let r = aliot_identity_create(self.text(), self.text(), self.text(), &raw mut out); self.identities.add(r, out); }
                1 => { let mut out = null_mut(); let r = aliot_identity_create_with_token(self.text(), self.text(), self.text(), self.text(), &raw mut out); self.identities.add(r, out); }
                2 => { let mut out = null_mut(); let r = aliot_identity_create_with_certificate(self.text(), self.text(), &raw mut out); self.identities.add(r, out); }
                3 => { let mut out = null_mut(); let r = aliot_identity_create_verbatim(self.text(), self.text(), self.text(), &raw mut out); self.identities.add(r, out); }
                4 => aliot_identity_destroy(self.identity()),
                5 => { aliot_identity_has_token(self.identity()); }
                6 => read(aliot_identity_product_key(self.identity())),
                7 => read(aliot_identity_device_name(self.identity())),
                8 => read(aliot_identity_secret(self.identity())),
                9 => read(aliot_identity_client_id(self.identity())),
                10 => read(aliot_identity_username(self.identity())),
                11 => { aliot_identity_save(self.identity(), self.path(true)); }
                12 => { let mut out = null_mut(); let r = aliot_identity_load(self.path(false), &raw mut out); self.identities.add(r, out); }
                13 => { let mut out = null_mut(); let r = aliot_identity_register(self.endpoint(), self.text(), self.text(), self.text(), self.choice(), self.block(), &raw mut out); self.identities.add(r, out); }
                14 => { let mut out = null_mut(); let r = aliot_registration_create(self.endpoint(), self.text(), self.text(), self.text(), self.choice(), &raw mut out); self.registrations.add(r, out); }
                15 => aliot_registration_destroy(self.registration()),
                16 => { aliot_registration_set_sign_method(self.registration(), self.choice()); }
                17 => { aliot_registration_set_client_id(self.registration(), self.text()); }
                18 => { aliot_registration_set_instance_id(self.registration(), self.text()); }
                19 => { aliot_registration_set_mode(self.registration(), self.choice().cast_signed()); }
                20 => { aliot_registration_set_connects_per_minute(self.registration(), self.small()); }
                21 => { let mut out = null_mut(); let r = aliot_registration_run(self.registration(), self.block(), Some(on_store), null_mut(), &raw mut out); self.identities.add(r, out); }
                22 => {
                    let end: aliot_registration_cb = if self.flag() { Some(on_end) } else { None };
                    let (registration, runtime, block, data) = (self.registration(), self.runtime(), self.block(), self.data());
                    let r = aliot_registration_start(registration, runtime, block, end, data, rel);
                    self.taken(data, r, end.is_some());
                }
                23 => { let mut out = null_mut(); let r = aliot_endpoint_create_for_region(self.text(), &raw mut out); self.new_endpoint(r, out); }
                24 => { let mut out = null_mut(); let r = aliot_endpoint_create_for_instance(self.text(), &raw mut out); self.new_endpoint(r, out); }
                25 => { let mut out = null_mut(); let r = aliot_endpoint_create_for_x509(self.text(), &raw mut out); self.new_endpoint(r, out); }
                26 => { let mut out = null_mut(); let r = aliot_endpoint_create_for_host(self.text(), self.input.number(2) as u16, &raw mut out); self.new_endpoint(r, out); }
                27 => aliot_endpoint_destroy(self.endpoint()),
                28 => { aliot_endpoint_set_port(self.endpoint(), self.input.number(2) as u16); }
                29 => { aliot_endpoint_set_server_name(self.endpoint(), self.text()); }
                30 => { aliot_endpoint_set_connect_timeout_ms(self.endpoint(), self.small()); }
                31 => { aliot_endpoint_set_dangerous_plaintext(self.endpoint()); }
                32 => { let (pem, len) = self.bytes(); aliot_endpoint_set_ca_pem(self.endpoint(), pem, len); }
                33 => { let (pem, len) = self.bytes(); aliot_endpoint_add_ca_pem(self.endpoint(), pem, len); }
                34 => { aliot_endpoint_set_ca_file(self.endpoint(), self.path(false)); }
                35 => { aliot_endpoint_add_ca_file(self.endpoint(), self.path(false)); }
                // Reading the system's roots takes 10 ms: seldom.
                36 if self.input.byte() == 1 => { aliot_endpoint_use_system_roots(self.endpoint()); }
                37 if self.input.byte() == 1 => { aliot_endpoint_add_system_roots(self.endpoint()); }
                38 => { aliot_endpoint_pin_server_key(self.endpoint(), self.text()); }
                39 => { aliot_endpoint_set_tls_versions(self.endpoint(), self.choice()); }
                40 => { aliot_endpoint_set_expiry_warning_days(self.endpoint(), self.input.number(2) as u16); }
                41 => { let (a, n) = self.bytes(); let (b, m) = self.bytes(); aliot_endpoint_set_client_certificate_pem(self.endpoint(), a, n, b, m); }
                42 => { aliot_endpoint_set_client_certificate_files(self.endpoint(), self.path(false), self.path(false)); }
                43 => { let endpoint = self.endpoint(); aliot_endpoint_set_http_proxy(endpoint, self.text(), self.input.number(2) as u16, self.text(), self.text()); self.keep_home(endpoint); }
                44 => { let endpoint = self.endpoint(); aliot_endpoint_set_socks5_proxy(endpoint, self.text(), self.input.number(2) as u16, self.text(), self.text()); self.keep_home(endpoint); }
                45 => { aliot_endpoint_set_websocket(self.endpoint(), self.text()); }
                46 => { aliot_endpoint_set_local_address(self.endpoint(), self.text()); }
                47 => { aliot_endpoint_set_interface(self.endpoint(), self.text()); }
                48 => { aliot_endpoint_set_address_family(self.endpoint(), self.choice()); }
                49 => { let mut out = null_mut(); let r = aliot_config_create(self.identity(), self.endpoint(), &raw mut out); self.configs.add(r, out); }
                50 => aliot_config_destroy(self.config()),
                51 => { aliot_config_set_sign_method(self.config(), self.choice()); }
                52 => { aliot_config_set_hex_case(self.config(), self.choice()); }
                53 => { aliot_config_set_client_id(self.config(), self.text()); }
                54 => { aliot_config_set_sign_client_id(self.config(), self.flag()); }
                55 => { aliot_config_set_timestamp(self.config(), self.text()); }
                56 => { aliot_config_add_client_param(self.config(), self.text(), self.text()); }
                57 => { aliot_config_set_kick_notice(self.config(), self.flag()); }
                58 => { aliot_config_set_clean_session(self.config(), self.flag()); }
                59 => { aliot_config_set_keep_alive_s(self.config(), self.input.number(2) as u16); }
                60 => { aliot_config_set_ping_timeout_ms(self.config(), self.small()); }
                61 => { aliot_config_set_ack_timeout_ms(self.config(), self.small()); }
                62 => { aliot_config_set_reconnect_ms(self.config(), self.small(), self.small()); }
                63 => { aliot_config_set_connects_per_minute(self.config(), self.small()); }
                64 => { aliot_config_set_outbox_limit(self.config(), self.small(), self.input.number(4) as usize); }
                65 => { aliot_config_set_window(self.config(), self.input.number(2) as u16); }
                66 => { aliot_config_set_inbox_limit(self.config(), self.small(), self.input.number(4) as usize); }
                67 => { aliot_config_set_outbox_policy(self.config(), self.choice()); }
                68 => { aliot_config_set_take_over_policy(self.config(), self.choice()); }
                69 => { aliot_config_use_platform_rates(self.config()); }
                70 => { aliot_config_set_rates(self.config(), self.small(), self.small()); }
                71 => { aliot_config_use_private_profile(self.config()); }
                72 => { aliot_config_set_payload_limit(self.config(), self.input.number(4) as usize); }
                73 => { aliot_config_set_topic_limit(self.config(), self.small() as usize); }
                74 => { aliot_config_set_subscription_limit(self.config(), self.small() as usize); }
                75 => { aliot_config_set_filters_per_packet(self.config(), self.small() as usize); }
                76 => { aliot_config_set_stable_after_ms(self.config(), self.small()); }
                77 => { let mut out = null_mut(); let r = aliot_credentials_create(self.config(), &raw mut out); self.credentials.add(r, out); }
                78 => aliot_credentials_destroy(self.credential()),
                79 => read(aliot_credentials_client_id(self.credential())),
                80 => read(aliot_credentials_username(self.credential())),
                81 => read(aliot_credentials_password(self.credential())),
                82 if self.threaded() < MAX_THREADED => { let mut out = null_mut(); let r = aliot_runtime_create(self.choice(), &raw mut out); self.runtimes.add(r, out); }
                83 => aliot_runtime_destroy(self.runtime()),
                84 => { aliot_runtime_poll(self.runtime(), self.block(), null_mut()); }
                85 => { aliot_runtime_fd(self.runtime()); }
                86 | 87 if self.threaded() < MAX_THREADED => { let mut out = null_mut(); let r = aliot_client_create(self.config(), &raw mut out); self.clients.add(r, out); }
                88 if self.threaded() < MAX_THREADED => { let mut out = null_mut(); let r = aliot_client_create_on_runtime(self.config(), self.runtime(), &raw mut out); self.clients.add(r, out); }
                89 => aliot_client_destroy(self.client()),
                90 => { aliot_client_start(self.client()); }
                91 => { aliot_client_stop(self.client(), self.small()); }
                92 => { aliot_client_retry_now(self.client()); }
                93 => { aliot_client_state(self.client()); }
                94 => { aliot_client_wait_connected(self.client(), self.block()); }
                95 => { aliot_client_wait_flushed(self.client(), self.block()); }
                96 => { aliot_client_wait_room(self.client(), self.block()); }
                97 => { aliot_client_wait_stopped(self.client(), self.block()); }
                98 | 99 => { let (payload, len) = self.bytes(); aliot_client_publish(self.client(), self.text(), payload, len, self.choice(), token); }
                100 => { let (payload, len) = self.bytes(); aliot_client_publish_expiring(self.client(), self.text(), payload, len, self.small(), token); }
                101 | 102 => {
                    let callback: aliot_message_cb = if self.flag() { Some(on_message) } else { None };
                    let (client, text, qos, data) = (self.client(), self.text(), self.choice(), self.data());
                    let r = aliot_client_subscribe(client, text, qos, callback, data, rel, token);
                    self.taken(data, r, true);
                }
                103 => { aliot_client_unsubscribe(self.client(), self.text(), token); }
                104 => { aliot_client_counter(self.client(), self.small()); }
                105 => {
                    let callback: aliot_event_cb = if self.flag() { Some(on_event) } else { None };
                    let (client, data) = (self.client(), self.data());
                    let r = aliot_client_set_event_callback(client, callback, data, rel);
                    self.taken(data, r, callback.is_some());
                }
                106 => {
                    let callback: aliot_completion_cb = if self.flag() { Some(on_completion) } else { None };
                    let (client, data) = (self.client(), self.data());
                    let r = aliot_client_set_completion_callback(client, callback, data, rel);
                    self.taken(data, r, callback.is_some());
                }
                107 => {
                    let callback: aliot_message_cb = if self.flag() { Some(on_message) } else { None };
                    let (client, data) = (self.client(), self.data());
                    let r = aliot_client_set_message_callback(client, callback, data, rel);
                    self.taken(data, r, callback.is_some());
                }
                108 => { let (key, n) = self.bytes(); let (content, m) = self.bytes(); aliot_sign(self.choice(), key, n, content, m, place, capacity); }
                109 => {
                    let mut finding = aliot_sign_finding::Matches;
                    aliot_sign_check(self.identity(), self.text(), self.endpoint(), self.text(), self.text(), self.text(), &raw mut finding, place, capacity);
                }
                110 => { aliot_topic_user(self.identity(), self.text(), place, capacity); }
                111 => { aliot_topic_sys(self.identity(), self.text(), place, capacity); }
                112 => { let mut matches = false; aliot_topic_matches(self.text(), self.text(), &raw mut matches); }
                113 => {
                    let callback: aliot_log_cb = if self.flag() { Some(on_record) } else { None };
                    let (level, data) = (self.choice(), self.quiet_data());
                    let r = aliot_log_set_callback(level, callback, data, rel);
                    self.taken(data, r, callback.is_some());
                }
                114 => {
                    let callback: aliot_clock_cb = if self.flag() { Some(on_time) } else { None };
                    let data = self.quiet_data();
                    let r = aliot_clock_set_callback(callback, data, rel);
                    self.taken(data, r, callback.is_some());
                }
                115 => { aliot_clock_set_floor_s(self.input.number(8)); }
                116 => {
                    aliot_last_error_hint(place, capacity);
                    aliot_last_error_stage();
                    aliot_last_error_os_error();
                    aliot_last_error_connack_code();
                    aliot_version_number();
                    read(aliot_version_string());
                }
                _ => {
                    let number = self.choice();
                    read(aliot_result_name(number.wrapping_mul(101)));
                    read(aliot_result_text(number));
                    aliot_result_is_retryable(number);
                    read(aliot_stage_name(number));
                }
            }
        }
        // Nothing is written beyond what was offered, and what is written is text.
        assert!(buffer[capacity..].iter().all(|byte| *byte == 0));
        if buffer.contains(&0) { read(buffer.as_ptr()); }
    }
}
