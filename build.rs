//! Asks the linker for packed relocations where this system's libc can load them: a program that is loaded anywhere has
//! 27,000, and without this they are 650 kB of it, all of which is read at every start.

use std::env::var;
use std::process::Command;

/// The first glibc that loads them (its release notes, "Support for `DT_RELR` relative relocation format").
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Built for another machine, nothing is known of its libc.
    let is_here = var("HOST").is_ok_and(|host| var("TARGET").is_ok_and(|target| target == host));
    if is_here && glibc_version().is_some_and(|version| version >= FIRST) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// `None` on a system without glibc.
fn glibc_version() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
