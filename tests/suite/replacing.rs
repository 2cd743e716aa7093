//! What becomes of a file that is replaced, and of one that cannot be.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Folder, Run, highwater, noise, peer, skip};
use crate::namespace::{Mount, Namespace, isolated};

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a", "new");
    folder
}

fn run(folder: &Folder, pipeline: &str) -> Run {
    highwater([pipeline]).within(folder).run()
}

fn copy(folder: &Folder, pipeline: &str) {
    run(folder, pipeline).succeeds();
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("there").mode() & 0o7777
}

/// Runs another program in a folder; `None` where it is missing or refuses.
fn tool(folder: &Folder, words: &[&str]) -> Option<String> {
    let output = peer(words[0])?.args(&words[1..]).current_dir(folder.path()).output();
    let output = output.expect("it starts");
    if !output.status.success() {
        skip(String::from_utf8_lossy(&output.stderr).trim_end());
        return None;
    }
    Some(String::from_utf8(output.stdout).expect("text"))
}

mod rights {
    use super::*;

    /// A file's access control list without its name.
    fn list(folder: &Folder, name: &str) -> String {
        tool(folder, &["getfacl", "--omit-header", "--numeric", name]).expect("a list")
    }

    /// A folder `d` with a default list that gives user 65534 rights; `cat` has made `d/expected` in it.
    fn with_default_list() -> Option<Folder> {
        let folder = folder();
        std::fs::create_dir(folder.join("d")).expect("made");
        let entries = "u::rwx,g::r-x,o::---,u:65534:rw-";
        tool(&folder, &["setfacl", "-d", "-m", entries, "d"])?;
        tool(&folder, &["sh", "-c", "cat a > d/expected"])?;
        Some(folder)
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "there are no lists and attributes there")]
    fn of_a_new_file_are_those_of_cat() {
        let Some(folder) = with_default_list() else { return };
        let expected = list(&folder, "d/expected");
        assert!(expected.contains("user:65534:rw-"), "{expected}");
        for pipeline in [
            "read a | write d/b",
            "read a | gzip | gunzip | write d/b",
            "read a | write d/b verify=true",
            "read a | write d/b resume=true",
            "read a | write d/b append=true",
            "read a | write d/b in-place=true",
            "read a | write d/b clobber=false",
        ] {
            copy(&folder, pipeline);
            assert_eq!(list(&folder, "d/b"), expected, "{pipeline}");
            assert_eq!(mode(&folder.join("d/b")), mode(&folder.join("d/expected")));
            std::fs::remove_file(folder.join("d/b")).expect("removed");
        }
    }

    #[test]
    fn of_side_files_are_those_of_cat() {
        let Some(folder) = with_default_list() else { return };
        let expected = list(&folder, "d/expected");
        let arguments = ["-q", "--stats", "d/stats", "--record", "d/record"];
        let arguments = arguments.into_iter().chain(["read a | hash to=d/sum | write b"]);
        assert_eq!(highwater(arguments).within(&folder).run().code, Some(0));
        for name in ["d/stats", "d/record", "d/sum"] {
            assert_eq!(list(&folder, name), expected, "{name}");
        }
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "there are no lists and attributes there")]
    fn that_the_old_file_did_not_give_are_not_given() {
        let Some(folder) = with_default_list() else { return };
        for pipeline in ["read a | write d/b", "read a | write d/b resume=true"] {
            folder.write("d/b", "old");
            tool(&folder, &["setfacl", "-b", "d/b"]).expect("removed");
            std::fs::set_permissions(folder.join("d/b"), PermissionsExt::from_mode(0o664)).expect("set");
            let before = list(&folder, "d/b");
            copy(&folder, pipeline);
            assert_eq!(list(&folder, "d/b"), before, "{pipeline}");
        }
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "there are no lists and attributes there")]
    fn that_were_asked_for_are_all_there_are() {
        let Some(folder) = with_default_list() else { return };
        for pipeline in ["write d/b mode=640", "write d/b mode=640 append=true"] {
            copy(&folder, &format!("read a | {pipeline}"));
            assert_eq!(list(&folder, "d/b").trim(), "user::rw-\ngroup::r--\nother::---");
            std::fs::remove_file(folder.join("d/b")).expect("removed");
        }
    }

    #[test]
    fn follow_the_umask() {
        let folder = folder();
        for (how, expected) in [
            ("", 0o640),
            ("append=true", 0o640),
            ("resume=true", 0o640),
            ("mode=666", 0o666),
        ] {
            let mut shell = Command::new("sh");
            shell.args(["-c", "umask 027; exec \"$0\" \"$@\""]);
            let pipeline = format!("read a | write b {how}");
            highwater([pipeline]).under(shell).within(&folder).run().succeeds();
            assert_eq!(mode(&folder.join("b")), expected, "{how}");
            std::fs::remove_file(folder.join("b")).expect("removed");
        }
    }

    #[test]
    fn of_an_existing_file_are_set_where_asked_for() {
        let folder = folder();
        for how in ["append=true", "in-place=true"] {
            folder.write("b", "old");
            copy(&folder, &format!("read a | write b {how} mode=600"));
            assert_eq!(mode(&folder.join("b")), 0o600, "{how}");
        }
    }
}

mod names {
    use super::*;

    #[test]
    fn that_end_in_a_slash_make_no_file() {
        let folder = folder();
        symlink("ghost/", folder.join("link")).expect("linked");
        for (pipeline, code) in [
            ("read a | write ghost/", 4),
            ("read a | write ghost/.", 4),
            ("read a | write link", 4),
            ("read a | write ghost/ append=true", 4),
            ("read a | write ghost/ in-place=true", 4),
            ("read a | write ghost/ resume=true", 4),
            ("read a | hash to=ghost/ | write b", 4),
        ] {
            let run = run(&folder, pipeline);
            let line = run.fails(code);
            let why = "No such directory (the name of a file does not end in a slash)";
            assert!(line.contains(why), "{pipeline}: {line}");
        }
        for option in ["--stats", "--record"] {
            let run = highwater([option, "ghost/", "read a | write b"]).within(&folder).run();
            assert!(run.fails(4).contains("ghost/"), "{}", run.stderr);
        }
        assert_eq!(folder.names(), ["a", "link"]);
    }

    #[test]
    fn of_folders_are_no_targets() {
        let folder = folder();
        std::fs::create_dir(folder.join("d")).expect("made");
        for name in ["d", "d/", "d/."] {
            let run = run(&folder, &format!("read a | write {name}"));
            assert!(
                run.fails(4).contains("Is a directory (name a file in it)"),
                "{}",
                run.stderr
            );
        }
    }
}

mod attributes {
    use super::*;

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "there are no lists and attributes there")]
    fn are_kept() {
        let folder = folder();
        for pipeline in ["read a | write b", "read a | write b resume=true mode=600"] {
            folder.write("b", "old");
            if tool(&folder, &["setfattr", "-n", "user.origin", "-v", "here", "b"]).is_none() {
                return;
            }
            copy(&folder, pipeline);
            let said = tool(&folder, &["getfattr", "--only-values", "-n", "user.origin", "b"]);
            assert_eq!(said.as_deref(), Some("here"), "{pipeline}");
        }
    }

    #[test]
    fn that_were_given_to_the_old_contents_are_not() {
        let folder = folder();
        folder.write("b", "old");
        if tool(&folder, &["setcap", "cap_net_raw=ep", "b"]).is_none() {
            return;
        }
        copy(&folder, "read a | write b");
        assert_eq!(tool(&folder, &["getcap", "b"]).as_deref(), Some(""));
    }
}

mod obstacles {
    use super::*;

    /// The run fails before it waits for a client, and in-place=true goes well.
    #[track_caller]
    fn is_in_the_way(folder: &Folder, under: impl Fn() -> Command, why: &str) {
        let attempt = |pipeline: &str| highwater([pipeline]).under(under()).within(folder).run();
        for how in ["", "resume=true"] {
            let refused = attempt(&format!("read a | write d/b {how}"));
            assert!(refused.fails(4).contains(why), "{}", refused.stderr);
        }
        let unheard = attempt("read tcp-listen://:0 | write d/b");
        assert!(unheard.fails(4).contains(why), "{}", unheard.stderr);
        assert_eq!(folder.read("d/b"), b"old");
        let names = |folder: &Folder| std::fs::read_dir(folder.join("d")).expect("a folder").count();
        assert_eq!(names(folder), 1, "a hidden file is left");
        attempt("read a | write d/b in-place=true").succeeds();
        assert_eq!(folder.read("d/b"), b"new");
    }

    fn with_target() -> Folder {
        let folder = folder();
        std::fs::create_dir(folder.join("d")).expect("made");
        folder.write("d/b", "old");
        folder
    }

    /// Another user than the folder's, without privileges; `None` where this process may not become one.
    fn nobody() -> Option<Command> {
        let mut setpriv = peer("setpriv")?;
        if !rustix::process::geteuid().is_root() {
            skip("only root may become somebody else");
            return None;
        }
        setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        Some(setpriv)
    }

    fn open_to_all(folder: &Folder) {
        for (name, mode) in [("", 0o755), ("a", 0o644), ("d", 0o777), ("d/b", 0o666)] {
            std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).expect("set");
        }
    }

    #[test]
    fn like_a_folder_that_cannot_be_written_to() {
        let Some(_) = nobody() else { return };
        let folder = with_target();
        open_to_all(&folder);
        std::fs::set_permissions(folder.join("d"), PermissionsExt::from_mode(0o755)).expect("set");
        let why = "cannot make a new file beside it (in-place=true writes to it where it is): Permission denied";
        is_in_the_way(&folder, || nobody().expect("there"), why);
    }

    #[test]
    fn like_a_sticky_folder_of_somebody_else() {
        let Some(_) = nobody() else { return };
        let folder = with_target();
        open_to_all(&folder);
        std::fs::set_permissions(folder.join("d"), PermissionsExt::from_mode(0o1777)).expect("set");
        is_in_the_way(
            &folder,
            || nobody().expect("there"),
            "so does the folder, which is sticky",
        );
    }

    #[test]
    fn like_ones_own_file_that_is_read_only() {
        let Some(setpriv) = nobody() else { return };
        let folder = with_target();
        open_to_all(&folder);
        let target = folder.join("d/b");
        std::os::unix::fs::chown(&target, Some(65534), None).expect("owned");
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o444)).expect("set");
        let run = highwater(["read a | write d/b"]).under(setpriv).within(&folder).run();
        let why = "will not replace what you may not write to: Permission denied";
        assert!(run.fails(4).contains(why), "{}", run.stderr);
        assert_eq!(folder.read("d/b"), b"old");
    }

    #[test]
    fn like_another_users_file_whose_owner_changes() {
        let Some(setpriv) = nobody() else { return };
        let folder = with_target();
        open_to_all(&folder);
        let run = highwater(["read a | write d/b"]).under(setpriv).within(&folder).run();
        let warning = "highwater: warning: d/b belonged to user 0, and belongs to you now\n";
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), warning));
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "the system does not tell there")]
    fn like_a_mount() {
        isolated(&Namespace::Mounts, "replacing::obstacles::like_a_mount", || {
            let folder = with_target();
            let _mount = Mount::bind(&folder.write("mounted", "old"), &folder.join("d/b"));
            is_in_the_way(&folder, || Command::new("env"), "something is mounted there");
        });
    }

    /// Sets a flag of chattr(1), and takes it back in the end.
    struct Flag(std::path::PathBuf, &'static str);

    impl Flag {
        fn set(path: std::path::PathBuf, flag: &'static str) -> Option<Self> {
            let output = peer("chattr")?
                .arg(format!("+{flag}"))
                .arg(&path)
                .output()
                .expect("chattr starts");
            if !output.status.success() {
                skip(String::from_utf8_lossy(&output.stderr).trim_end());
                return None;
            }
            Some(Self(path, flag))
        }
    }

    impl Drop for Flag {
        fn drop(&mut self) {
            let _ = Command::new("chattr").arg(format!("-{}", self.1)).arg(&self.0).status();
        }
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "the system does not tell there")]
    fn like_a_folder_that_can_only_grow() {
        let folder = with_target();
        let Some(_flag) = Flag::set(folder.join("d"), "a") else {
            return;
        };
        is_in_the_way(
            &folder,
            || Command::new("env"),
            "nothing in its folder can be renamed (chattr +a)",
        );
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "the system does not tell there")]
    fn like_a_file_that_can_only_grow() {
        let folder = with_target();
        let Some(_flag) = Flag::set(folder.join("d/b"), "a") else {
            return;
        };
        let run = run(&folder, "read a | write d/b");
        assert!(run.fails(4).contains("append=true lets it"), "{}", run.stderr);
        copy(&folder, "read a | write d/b append=true");
        assert_eq!(folder.read("d/b"), b"oldnew");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn like_a_file_of_the_kernel() {
        let folder = folder();
        let name = "/proc/self/comm";
        let run = run(&folder, &format!("read a | write {name}"));
        assert!(
            run.fails(4).contains("in-place=true writes to it where it is"),
            "{}",
            run.stderr
        );
        copy(&folder, &format!("read a | write {name} in-place=true"));
    }

    #[test]
    #[cfg_attr(feature = "portable-platform", ignore = "the system does not tell there")]
    fn like_a_descriptor_of_another_process() {
        let folder = folder();
        folder.write("b", "old");
        let own = folder.open("b");
        let name = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            std::os::fd::AsRawFd::as_raw_fd(&own)
        );
        std::fs::remove_file(folder.join("b")).expect("removed");
        let run = run(&folder, &format!("read a | write {name}"));
        let why = "its name is a descriptor of another process";
        assert!(run.fails(4).contains(why), "{}", run.stderr);
        assert_eq!(folder.names(), ["a"]);
    }
}

mod in_place {
    use super::*;

    #[test]
    fn every_name_of_the_file_has_the_new_contents() {
        let folder = folder();
        folder.write("b", "old and longer");
        std::fs::hard_link(folder.join("b"), folder.join("c")).expect("linked");
        copy(&folder, "read a | write b in-place=true");
        assert_eq!(folder.read("c"), b"new");
        assert_eq!(folder.names(), ["a", "b", "c"]);
    }

    #[test]
    fn a_failed_run_says_what_the_file_has() {
        let folder = folder();
        folder.write("b", "old");
        let run = run(&folder, "read a | limit 2 | write b in-place=true");
        assert_eq!(run.code, Some(7), "{}", run.stderr);
        let has = folder.read("b").len();
        let why = format!("cannot restore b: it was written where it is, and has {has} bytes of what was to come");
        assert!(has < 3 && run.stderr.contains(&why), "{}", run.stderr);
    }

    #[test]
    fn a_failed_run_removes_a_new_file() {
        let folder = folder();
        run(&folder, "read a | limit 2 | write b in-place=true").fails(7);
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn nothing_is_read_back_or_gone_on_with() {
        let folder = folder();
        for how in ["verify", "resume"] {
            let run = run(&folder, &format!("read a | write b in-place=true {how}=true"));
            assert_eq!(run.code, Some(2), "{}", run.stderr);
        }
    }
}

mod appending {
    use super::*;

    /// Starts an append that has written a thousand bytes and waits for more.
    fn begun(folder: &Folder) -> (crate::harness::Running, std::fs::File) {
        let fifo = folder.fifo("f");
        let pipeline = "read f | throttle 1GB/s | write b append=true";
        let arguments = ["--progress", "json", "--interval", "1ms", pipeline];
        let mut running = highwater(arguments).within(folder).start();
        let mut source = std::fs::OpenOptions::new().write(true).open(fifo).expect("a reader");
        std::io::Write::write_all(&mut source, &noise(1000, 2)).expect("written");
        assert!(running.writes(1000), "it ended");
        (running, source)
    }

    fn write_elsewhere(folder: &Folder) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(folder.join("b"))
            .expect("opened");
        std::io::Write::write_all(&mut file, b"theirs").expect("written");
    }

    #[test]
    fn a_stopped_run_takes_its_own_bytes_back() {
        let folder = folder();
        folder.write("b", "old");
        let (running, _source) = begun(&folder);
        running.signal(Signal::TERM);
        assert_eq!(running.wait().signal, Some(Signal::TERM.as_raw()));
        assert_eq!(folder.read("b"), b"old");
    }

    #[test]
    fn a_stopped_run_says_what_stays() {
        let folder = folder();
        folder.write("b", "old");
        let (running, _source) = begun(&folder);
        write_elsewhere(&folder);
        running.signal(Signal::TERM);
        let run = running.wait();
        assert_eq!(run.signal, Some(Signal::TERM.as_raw()));
        let why = "cannot roll back 1000 bytes of b: another process has written to it as well";
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert!(folder.read("b") == [&b"old"[..], &noise(1000, 2), b"theirs"].concat());
    }
}

mod leftovers {
    use super::*;

    /// Starts a run that will not come to its end.
    fn begun(folder: &Folder, fifo: &str) -> (crate::harness::Running, std::fs::File) {
        let arguments = ["--progress", "json", "--interval", "1ms"].map(str::to_owned);
        let pipeline = format!("read {fifo} | throttle 1GB/s | write b");
        let mut running = highwater(arguments.into_iter().chain([pipeline]))
            .within(folder)
            .start();
        let mut source = std::fs::OpenOptions::new()
            .write(true)
            .open(folder.join(fifo))
            .expect("a reader");
        std::io::Write::write_all(&mut source, &noise(1000, 1)).expect("written");
        assert!(running.writes(1000), "it ended");
        (running, source)
    }

    fn temporaries(folder: &Folder) -> usize {
        let names = folder.names();
        names.iter().filter(|name| name.starts_with(".b.highwater-")).count()
    }

    #[test]
    fn of_killed_runs_are_swept() {
        for how in ["", "resume=true"] {
            let folder = folder();
            let runs = ["f", "g"].map(|fifo| {
                folder.fifo(fifo);
                begun(&folder, fifo)
            });
            assert_eq!(temporaries(&folder), 2);
            for (running, _source) in runs {
                running.signal(Signal::KILL);
                assert_eq!(running.wait().signal, Some(9));
            }
            assert_eq!(temporaries(&folder), 2);
            copy(&folder, &format!("read a | write b {how}"));
            assert_eq!(folder.names(), ["a", "b", "f", "g"], "{how}");
        }
    }

    #[test]
    fn of_running_ones_are_not() {
        let folder = folder();
        folder.fifo("f");
        let (running, source) = begun(&folder, "f");
        copy(&folder, "read a | write b");
        assert_eq!((temporaries(&folder), folder.read("b")), (1, b"new".to_vec()));
        drop(source);
        assert_eq!(running.wait().code, Some(0));
        assert_eq!(folder.read("b"), noise(1000, 1));
        assert_eq!(temporaries(&folder), 0);
    }

    #[test]
    fn that_are_somebody_elses_stay() {
        let folder = folder();
        folder.write("victim", "precious");
        std::fs::hard_link(folder.join("victim"), folder.join(".b.highwater-00000000")).expect("linked");
        symlink("victim", folder.join(".b.highwater-00000001")).expect("linked");
        folder.fifo(".b.highwater-00000002");
        copy(&folder, "read a | write b");
        assert_eq!(temporaries(&folder), 3);
        assert_eq!(folder.read("victim"), b"precious");
    }
}
