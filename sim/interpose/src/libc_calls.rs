//! The functions of libc that this executable has itself: what std 1.95 calls for `std::fs`, `std::net`, `std::os::unix::net`,
//! `std::process`, `std::thread::sleep` and waits with a time-out, and their siblings that other crates call.
//!
//! Not among them is what std calls in a forked child before it executes a program (`chdir`, for one): there nobody may look
//! libc's function up.

use crate::{Reached, Refusal, guard, refusal::Text};
use libc::{
    addrinfo, c_char, c_int, c_long, c_uint, c_void, clockid_t, gid_t, mode_t, pid_t, posix_spawn_file_actions_t,
    posix_spawnattr_t, size_t, sockaddr, socklen_t, ssize_t, timespec, uid_t,
};
use std::{
    ffi::CStr,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    ptr,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

/// libc's own function of a name, looked up when it is first needed.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Next {
        Next { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Null when this libc has no such function (`statx` came with glibc 2.28).
    fn address(&self) -> *mut c_void {
        let mut address = self.address.load(Relaxed);
        if address.is_null() {
            // SAFETY: the name ends with a NUL, and RTLD_NEXT is a handle that dlsym knows.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Relaxed);
        }
        address
    }
}

fn set_errno(errno: c_int) {
    // SAFETY: the place of errno is valid for as long as the thread lives.
    unsafe { *libc::__errno_location() = errno };
}

/// An argument that says what a call is about.
#[derive(Clone, Copy)]
enum Argument {
    Nothing,
    Path(*const c_char),
    Address(*const sockaddr, socklen_t),
    Duration(*const timespec),
    Words(&'static str),
    /// The call reaches nothing of the machine's.
    Harmless,
}

impl Argument {
    /// The argument as text; `None` when the call with it is harmless.
    ///
    /// # Safety
    /// The pointers are null, or valid as libc demands of them.
    unsafe fn text(self) -> Option<Text> {
        match self {
            Argument::Nothing => Some(Text::EMPTY),
            Argument::Harmless => None,
            Argument::Words(words) => Some(Text::of(&words)),
            // std asks with a null pointer whether the kernel has `statx`, and with an empty path for what is open already.
            Argument::Path(path) if path.is_null() => None,
            Argument::Path(path) => {
                // SAFETY: the caller promises a string that ends with a NUL.
                let path = unsafe { CStr::from_ptr(path) }.to_bytes();
                // `std::process` opens /dev/null before it does what is to be refused.
                (!path.is_empty() && path != b"/dev/null").then(|| Text::quoted(path))
            }
            Argument::Address(address, _) if address.is_null() => None,
            // SAFETY: the caller promises an address of this length.
            Argument::Address(address, len) => Some(unsafe { address_text(address, len) }),
            Argument::Duration(duration) if duration.is_null() => Some(Text::EMPTY),
            Argument::Duration(duration) => {
                // SAFETY: the caller promises a time span.
                let timespec { tv_sec, tv_nsec, .. } = unsafe { *duration };
                Some(Text::of(&format_args!("{tv_sec}.{tv_nsec:09} s")))
            }
        }
    }
}

/// # Safety
/// There is an address of this length.
unsafe fn address_text(address: *const sockaddr, len: socklen_t) -> Text {
    let len = len as usize;
    if len < size_of::<libc::sa_family_t>() {
        return Text::EMPTY;
    }
    // SAFETY: every address begins with its family, and this one is long enough to have it. It need not be aligned.
    let family = unsafe { ptr::addr_of!((*address).sa_family).read_unaligned() };
    match c_int::from(family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: its family and its length say that it is one.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Text::of(&SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: its family and its length say that it is one.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Text::of(&SocketAddrV6::new(ip, u16::from_be(address.sin6_port), 0, address.sin6_scope_id))
        }
        libc::AF_UNIX => {
            let path = address.cast::<u8>().wrapping_add(size_of::<libc::sa_family_t>());
            // SAFETY: what follows the family, up to the length of the address, is the path.
            let path = unsafe { std::slice::from_raw_parts(path, len - size_of::<libc::sa_family_t>()) };
            let end = path.iter().skip(1).position(|&byte| byte == 0).map_or(path.len(), |end| end + 1);
            Text::quoted(&path[..end])
        }
        family => Text::of(&format_args!("an address of the family {family}")),
    }
}

/// Defines functions of libc: `=> what they reach (about this argument), what they return when they are refused`. A function
/// with `; ... rest` has in C a variable number of arguments, of which this one is passed on.
macro_rules! interpose {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(; $dots:tt $rest:ident: $rest_type:ty)?) -> $ret:ty
        => $reached:ident($argument:expr), $refused:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type,)* $($rest: $rest_type)?) -> $ret {
            // SAFETY: the caller promises libc what the argument needs.
            if let Some(guard) = guard() && let Some(argument) = unsafe { $argument.text() } {
                (guard.refused)(&Refusal { reached: Reached::$reached, call: stringify!($name), argument });
                return $refused;
            }
            static NEXT: Next = {
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => Next::new(name),
                    Err(_) => panic!("a name has one NUL, at its end"),
                }
            };
            let next = NEXT.address();
            if next.is_null() {
                set_errno(libc::ENOSYS);
                return $refused;
            }
            // SAFETY: libc's function of this name has this type.
            let next = unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type,)* $($dots)?) -> $ret>(next)
            };
            // SAFETY: what the caller promises is what libc demands.
            unsafe { next($($arg,)* $($rest)?) }
        }
    )*};
}

/// What most functions return when they are refused.
fn not_permitted() -> c_int {
    set_errno(libc::EPERM);
    -1
}

fn no_pointer<T>() -> *mut T {
    set_errno(libc::EPERM);
    ptr::null_mut()
}

/// The one system call that std makes by number and that must be refused: a wait with a time-out.
fn wait_with_time_out(number: c_long, operation: c_long, time_out: c_long) -> Argument {
    let operation = operation as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let waits = number == libc::SYS_futex && matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET);
    if waits && time_out != 0 { Argument::Words("SYS_futex, a wait with a time-out") } else { Argument::Harmless }
}

fn time_is_out() -> c_long {
    set_errno(libc::ETIMEDOUT);
    -1
}

/// The process's identifier cannot be refused, because its callers know of no error: it is only noted.
fn process_id() -> pid_t {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::syscall(libc::SYS_getpid) as pid_t }
}

// What std and others write as `open(path, flags, ...)` has one more argument or none. It is passed on in either case: an
// argument that was not given is some number that nobody looks at.
interpose! {
    fn open(path: *const c_char, flags: c_int; ... mode: mode_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn open64(path: *const c_char, flags: c_int; ... mode: mode_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn openat(dir: c_int, path: *const c_char, flags: c_int; ... mode: mode_t) -> c_int
        => File(Argument::Path(path)), not_permitted();
    fn openat64(dir: c_int, path: *const c_char, flags: c_int; ... mode: mode_t) -> c_int
        => File(Argument::Path(path)), not_permitted();
    fn opendir(path: *const c_char) -> *mut libc::DIR => File(Argument::Path(path)), no_pointer();
    fn statx(dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, status: *mut libc::statx) -> c_int
        => File(Argument::Path(path)), not_permitted();
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn rmdir(path: *const c_char) -> c_int => File(Argument::Path(path)), not_permitted();
    fn unlink(path: *const c_char) -> c_int => File(Argument::Path(path)), not_permitted();
    fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int => File(Argument::Path(path)), not_permitted();
    fn rename(from: *const c_char, to: *const c_char) -> c_int => File(Argument::Path(from)), not_permitted();
    fn linkat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_int) -> c_int
        => File(Argument::Path(from)), not_permitted();
    fn symlink(target: *const c_char, path: *const c_char) -> c_int => File(Argument::Path(path)), not_permitted();
    fn readlink(path: *const c_char, target: *mut c_char, len: size_t) -> ssize_t
        => File(Argument::Path(path)), not_permitted() as ssize_t;
    fn realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char => File(Argument::Path(path)), no_pointer();
    fn getcwd(path: *mut c_char, len: size_t) -> *mut c_char => File(Argument::Nothing), no_pointer();
    fn chmod(path: *const c_char, mode: mode_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn chown(path: *const c_char, owner: uid_t, group: gid_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn lchown(path: *const c_char, owner: uid_t, group: gid_t) -> c_int => File(Argument::Path(path)), not_permitted();
    fn mkfifo(path: *const c_char, mode: mode_t) -> c_int => File(Argument::Path(path)), not_permitted();

    // A socket as such reaches nothing: the calls that give it an address are refused.
    fn bind(socket: c_int, address: *const sockaddr, len: socklen_t) -> c_int
        => Socket(Argument::Address(address, len)), not_permitted();
    fn connect(socket: c_int, address: *const sockaddr, len: socklen_t) -> c_int
        => Socket(Argument::Address(address, len)), not_permitted();
    fn sendto(socket: c_int, bytes: *const c_void, bytes_len: size_t, flags: c_int, address: *const sockaddr, len: socklen_t)
        -> ssize_t => Socket(Argument::Address(address, len)), not_permitted() as ssize_t;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, sockets: *mut c_int) -> c_int
        => Socket(Argument::Nothing), not_permitted();
    fn getaddrinfo(host: *const c_char, service: *const c_char, hints: *const addrinfo, found: *mut *mut addrinfo) -> c_int
        => HostName(Argument::Path(host)), { not_permitted(); libc::EAI_SYSTEM };

    // A sleep that is refused ends at once, as if the time had passed: std takes most errors for a bug of its own.
    fn nanosleep(duration: *const timespec, rest: *mut timespec) -> c_int => Sleep(Argument::Duration(duration)), 0;
    fn clock_nanosleep(clock: clockid_t, flags: c_int, duration: *const timespec, rest: *mut timespec) -> c_int
        => Sleep(Argument::Duration(duration)), 0;
    fn usleep(duration_us: c_uint) -> c_int => Sleep(Argument::Nothing), 0;
    fn sleep(duration_s: c_uint) -> c_uint => Sleep(Argument::Nothing), 0;
    fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long
        => TimedWait(wait_with_time_out(number, b, d)), time_is_out();

    fn posix_spawn(
        process: *mut pid_t, path: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int => Process(Argument::Path(path)), libc::EPERM;
    fn posix_spawnp(
        process: *mut pid_t, path: *const c_char, actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t, arguments: *const *mut c_char, environment: *const *mut c_char
    ) -> c_int => Process(Argument::Path(path)), libc::EPERM;
    fn fork() -> pid_t => Process(Argument::Nothing), not_permitted();
    fn getpid() -> pid_t => ProcessId(Argument::Nothing), process_id();
}
