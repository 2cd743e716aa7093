//! Asks the linker for packed relocations where this system's libc can load them: a program that is loaded anywhere has
//! 27,000, and without this they are 650 kB of it, all of which is read at every start.

use std::env::var;

/// The first glibc that loads them (<https://sourceware.org/pipermail/libc-announce/2022/000033.html>).
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    // Built for another machine, nothing is known of its libc.
    let is_here = var("HOST").is_ok_and(|host| var("TARGET").is_ok_and(|target| target == host));
    if is_here && libc_version().is_some_and(|version| version >= FIRST) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn libc_version() -> Option<(u32, u32)> {
    #[allow(unsafe_code, reason = "the declaration is that of <gnu/libc-version.h>")]
    unsafe extern "C" {
        safe fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    #[allow(unsafe_code, reason = "glibc returns a constant text")]
    let version = unsafe { std::ffi::CStr::from_ptr(gnu_get_libc_version()) };
    let (major, minor) = version.to_str().ok()?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn libc_version() -> Option<(u32, u32)> {
    None
}
