//! Programs that go around the seam: what the simulation catches while it runs, and what it says. There is a test for every
//! row of the table in `sim/src/simulated/misuse.rs`, and for who is not to be disturbed. What cannot be caught is forbidden by
//! `cluster/clippy.toml`, and `tests/tests/seam.rs` looks for it in the source.

use sim::world::{HostSpec, SimulationSpec, simulate};
use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener, UnixStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

/// What a simulation ends with in which a program misbehaves.
fn caught<F: Future<Output = ()> + Send + 'static>(misuse: impl Fn() -> F + Send + Sync + 'static) -> String {
    let finished = simulate(SimulationSpec::default(), move |world| async move {
        let host = world.add_host(HostSpec::new("host", misuse));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
    });
    finished.expect_err("it was not caught").to_string()
}

/// Has a program make a call and swallow its error; the call must be named nevertheless, and what to use instead.
#[track_caller]
fn swallowed<R: 'static>(call: fn() -> R, named: &str, instead: &str) {
    let message = caught(move || async move { drop(call()) });
    let expected = format!("host host calls {named}, which reaches for the real machine: {instead}");
    assert!(message.contains(&expected), "expected: {expected}\nmessage:  {message}");
}

#[test]
fn a_thread_is_caught() {
    let message = caught(|| async {
        let thread = thread::spawn(|| {});
        thread.join().expect("it does nothing");
    });
    assert!(message.contains("use sim::task::spawn or sim::task::blocking"), "{message}");
}

#[test]
fn a_blocking_call_on_tokios_threads_is_caught() {
    // tokio::fs does the same.
    let message = caught(|| async {
        let read = tokio::task::spawn_blocking(|| fs::read("/etc/hostname"));
        drop(read.await);
    });
    assert!(message.contains("sim::task::blocking") && message.contains("sim::disk"), "{message}");
}

#[test]
fn a_task_of_tokio_is_caught() {
    let message = caught(|| async {
        drop(tokio::spawn(async {}).await);
    });
    assert!(message.contains("use sim::task::spawn"), "{message}");
}

#[test]
fn timers_and_sockets_of_tokio_are_caught() {
    let message = caught(|| tokio::time::sleep(Duration::from_millis(1)));
    assert!(message.contains("use sim::time"), "{message}");
    let message = caught(|| async { drop(tokio::net::TcpListener::bind(("127.0.0.1", 0)).await) });
    assert!(message.contains("use sim::net"), "{message}");
}

#[test]
fn files_are_caught() {
    swallowed(|| fs::read("/etc/hostname"), "open64(\"/etc/hostname\")", "use sim::disk");
    swallowed(|| fs::File::create("/tmp/x"), "open64(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::OpenOptions::new().append(true).open("/tmp/\u{e4}"), "open64(\"/tmp/\u{e4}\")", "use sim::disk");
    swallowed(|| fs::copy("/etc/hostname", "/tmp/x"), "open64(\"/etc/hostname\")", "use sim::disk");
    swallowed(|| fs::metadata("/etc"), "statx(\"/etc\")", "use sim::disk");
    swallowed(|| fs::symlink_metadata("/etc"), "statx(\"/etc\")", "use sim::disk");
    swallowed(|| Path::new("/etc").exists(), "statx(\"/etc\")", "use sim::disk");
    swallowed(|| fs::read_dir("/etc"), "opendir(\"/etc\")", "use sim::disk");
    swallowed(|| fs::create_dir("/tmp/x"), "mkdir(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::create_dir_all("/tmp/x/y"), "mkdir(\"/tmp/x/y\")", "use sim::disk");
    swallowed(|| fs::remove_dir("/tmp/x"), "rmdir(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::remove_dir_all("/tmp/x"), "statx(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::remove_file("/tmp/x"), "unlink(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::rename("/tmp/x", "/tmp/y"), "rename(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::hard_link("/tmp/x", "/tmp/y"), "linkat(\"/tmp/x\")", "use sim::disk");
    swallowed(|| std::os::unix::fs::symlink("/tmp/x", "/tmp/y"), "symlink(\"/tmp/y\")", "use sim::disk");
    swallowed(|| std::os::unix::fs::chown("/tmp/x", None, None), "chown(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::read_link("/tmp/x"), "readlink(\"/tmp/x\")", "use sim::disk");
    swallowed(|| fs::canonicalize("/tmp"), "realpath(\"/tmp\")", "use sim::disk");
    swallowed(env::current_dir, "getcwd()", "use sim::disk");
    let permissions = || {
        let permissions = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        fs::set_permissions("/tmp/x", permissions)
    };
    swallowed(permissions, "chmod(\"/tmp/x\")", "use sim::disk");
}

#[test]
fn sockets_are_caught() {
    swallowed(|| TcpStream::connect(("127.0.0.1", 9)), "connect(127.0.0.1:9)", "use sim::net");
    swallowed(|| TcpStream::connect(("::1", 9)), "connect([::1]:9)", "use sim::net");
    let timeout = || TcpStream::connect_timeout(&([127, 0, 0, 1], 9).into(), Duration::from_millis(1));
    swallowed(timeout, "connect(127.0.0.1:9)", "use sim::net");
    swallowed(|| TcpListener::bind(("127.0.0.1", 0)), "bind(127.0.0.1:0)", "use sim::net");
    swallowed(|| UdpSocket::bind(("127.0.0.1", 0)), "bind(127.0.0.1:0)", "use sim::net");
    swallowed(|| UnixStream::connect("/tmp/x"), "connect(\"/tmp/x\")", "use sim::net");
    swallowed(|| UnixListener::bind("/tmp/x"), "bind(\"/tmp/x\")", "use sim::net");
    swallowed(UnixStream::pair, "socketpair()", "use sim::net");
    let datagram = || UnixDatagram::unbound().and_then(|socket| socket.send_to(b"x", "/tmp/x"));
    swallowed(datagram, "sendto(\"/tmp/x\")", "use sim::net");
    swallowed(|| "localhost:9".to_socket_addrs().map(drop), "getaddrinfo(\"localhost\")", "use sim::net::resolve");
}

#[test]
fn waits_on_the_real_clock_are_caught() {
    // An hour, so that a test that waits cannot be mistaken for one that passes.
    const HOUR: Duration = Duration::from_secs(3_600);
    swallowed(|| thread::sleep(HOUR), "clock_nanosleep(3600.000000000 s)", "use sim::time::sleep");
    let timed_wait = |call: fn()| {
        swallowed(call, "syscall(SYS_futex, a wait with a time-out)", "use sim::time::timeout, and tokio::sync");
    };
    timed_wait(|| thread::park_timeout(HOUR));
    timed_wait(|| {
        let (_sender, receiver) = mpsc::channel::<()>();
        assert!(receiver.recv_timeout(HOUR).is_err());
    });
    timed_wait(|| {
        let (lock, condition) = (Mutex::new(()), Condvar::new());
        let guard = lock.lock().expect("nobody else has it");
        drop(condition.wait_timeout(guard, HOUR));
    });
}

#[test]
fn processes_are_caught() {
    swallowed(|| Command::new("true").status(), "posix_spawnp(\"true\")", "a simulated host has one process");
    swallowed(|| Command::new("true").output(), "posix_spawnp(\"true\")", "a simulated host has one process");
    swallowed(std::process::id, "getpid()", "use sim::process::id");
}

#[test]
fn a_program_that_panics_about_what_it_was_refused_is_told_why() {
    let message = caught(|| async {
        let bytes = fs::read("/etc/hostname").expect("each machine has a name");
        drop(bytes);
    });
    assert!(message.contains("each machine has a name"), "{message}");
    assert!(
        message.contains("host host calls open64(\"/etc/hostname\")") && message.contains("sim::disk"),
        "{message}"
    );
}

#[test]
fn a_program_that_is_dropped_is_guarded_too() {
    struct Goodbye;
    impl Drop for Goodbye {
        fn drop(&mut self) {
            drop(fs::write("/tmp/goodbye", "goodbye"));
        }
    }
    // At the end of the simulation, and when it is killed before.
    for crash in [false, true] {
        let finished = simulate(SimulationSpec::default(), move |world| async move {
            let host = world.add_host(HostSpec::new("host", || async {
                let _goodbye = Goodbye;
                std::future::pending::<()>().await;
            }));
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
            if crash {
                world.crash(host, sim::world::Crash::Process);
                world.sleep(Duration::from_secs(1)).await;
            }
        });
        let message = finished.expect_err("it was not caught").to_string();
        assert!(message.contains("open64(\"/tmp/goodbye\")"), "{message}");
    }
}

#[test]
fn a_panic_may_read_files() {
    // As the backtrace that it prints does.
    struct Backtrace;
    impl Drop for Backtrace {
        fn drop(&mut self) {
            assert!(fs::read("/proc/self/maps").is_ok());
        }
    }
    let message = caught(|| async {
        let _backtrace = Backtrace;
        panic!("of another kind");
    });
    assert!(message.ends_with("of another kind"), "{message}");
}

/// A wait that never ends because its call is refused ends the process: there is no other way out of it.
#[test]
fn a_program_that_tries_for_ever_is_caught() {
    const CHILD: &str = "SIM_TEST_TRIES_FOR_EVER";
    if env::var_os(CHILD).is_some() {
        let message = caught(|| async { while fs::read("/nowhere").is_err() {} });
        unreachable!("{message}");
    }
    let test = Command::new(env::current_exe().expect("this is one"))
        .args(["--exact", "--nocapture", "misuse::a_program_that_tries_for_ever_is_caught"])
        .env(CHILD, "1")
        .output()
        .expect("this very program can be run");
    let said = String::from_utf8_lossy(&test.stderr);
    assert!(
        !test.status.success() && said.contains("open64(\"/nowhere\"), and goes on in that step for ever"),
        "{said}"
    );
}

/// What harnesses do to the machine beneath them.
fn use_the_machine() {
    assert!(!fs::read("/proc/self/status").expect("every process has one").is_empty());
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
    let mut one = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("somebody listens");
    let (mut other, _) = listener.accept().expect("somebody connects");
    one.write_all(b"x").expect("it is connected");
    other.read_exact(&mut [0]).expect("it was sent");
    assert!("localhost:9".to_socket_addrs().is_ok());
    thread::sleep(Duration::from_nanos(1));
    thread::park_timeout(Duration::from_nanos(1));
    assert!(Command::new("true").status().is_ok_and(|status| status.success()));
    assert!(env::current_dir().is_ok() && Path::new("/").exists() && std::process::id() > 0);
}

#[test]
fn a_harness_uses_the_machine_in_a_simulation_and_after_it() {
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let host = world.add_host(HostSpec::new("host", || sim::time::sleep(Duration::from_secs(9))));
        world.boot(host);
        use_the_machine();
        world.sleep(Duration::from_secs(1)).await;
        use_the_machine();
    });
    finished.expect("nothing panics");
    use_the_machine();
    // What one simulation was refused is no matter of the next one's.
    swallowed(|| fs::read("/etc/hostname"), "open64(\"/etc/hostname\")", "use sim::disk");
    use_the_machine();
    simulate(SimulationSpec::default(), |_| async {}).expect("nothing panics");
}

#[test]
fn other_threads_use_the_machine_while_a_program_runs() {
    let (used, done) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                use_the_machine();
                used.fetch_add(1, Relaxed);
            }
        });
        let seen = Arc::clone(&used);
        let finished = simulate(SimulationSpec::default(), move |world| async move {
            let host = world.add_host(HostSpec::new("host", move || {
                let seen = Arc::clone(&seen);
                async move {
                    // It stays in this one step until the other thread has used the machine three times from end to end.
                    let before = seen.load(Relaxed);
                    while seen.load(Relaxed) < before + 4 {
                        std::hint::spin_loop();
                    }
                }
            }));
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
        });
        done.store(true, Relaxed);
        finished.expect("nothing panics");
    });
}

#[test]
fn the_seam_outside_of_a_simulation_is_caught() {
    let panicked = std::panic::catch_unwind(sim::time::wall_clock_ms);
    let message = panicked.expect_err("there is no clock");
    let message = message.downcast_ref::<String>().map(String::as_str).or(message.downcast_ref::<&str>().copied());
    assert!(message.is_some_and(|message| message.contains("world::simulate")), "{message:?}");
}

#[test]
fn files_and_randomness_of_the_harness_are_caught() {
    let finished = simulate(SimulationSpec::default(), |_| async {
        drop(sim::disk::read("/f").await);
    });
    let message = finished.expect_err("it was not caught").to_string();
    assert!(message.contains("boot a program"), "{message}");
    let finished = simulate(SimulationSpec::default(), |_| async { sim::rng::u64("test") });
    let message = finished.expect_err("it was not caught").to_string();
    assert!(message.contains("the harness has keys"), "{message}");
}

/// The clocks of std do not reach the real time either: they show the simulation's, which is no host's.
#[test]
fn the_clocks_of_std_are_simulated() {
    let run = || {
        let finished = simulate(SimulationSpec::default(), |world| async move {
            #[allow(clippy::disallowed_methods, reason = "that is what is tested")]
            let before = (std::time::Instant::now(), std::time::SystemTime::now());
            world.sleep(Duration::from_secs(1_000)).await;
            (before.0.elapsed(), before.1.elapsed().expect("time goes on"))
        });
        finished.expect("nothing panics").value
    };
    let (monotonic, wall) = run();
    assert!(monotonic >= Duration::from_secs(1_000) && wall >= Duration::from_secs(1_000));
    assert_eq!(run(), run());
}
