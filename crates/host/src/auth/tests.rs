use std::fs;
use std::os::unix::fs::PermissionsExt;

use rdpmux_server::Accounts;

use super::*;

fn name(text: &str) -> UserName {
    UserName::new(text).expect("valid")
}

#[test]
fn the_hash_is_that_of_the_specification() {
    // [MS-NLMP] 4.2.2.1.2: NTOWFv1("Password").
    let expected = [
        0xa4, 0xf4, 0x9c, 0x40, 0x65, 0x10, 0xbd, 0xca, 0xb6, 0x82, 0x4e, 0xe7, 0xc3, 0x0f, 0xd8, 0x52,
    ];
    assert_eq!(NtHash::of_password("Password").0, expected);
}

#[test]
fn random_passwords_differ_and_are_safe_in_a_shell() {
    let (a, b) = (random_password(), random_password());
    assert_ne!(a, b);
    assert_eq!(a.len(), 14);
    assert!(
        a.bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'),
        "{a}"
    );
}

#[test]
fn names_that_mean_something_else_on_the_wire_are_refused() {
    for bad in [
        "",
        "a b",
        "alice#web1",
        "CORP\\alice",
        "a:b",
        "a/b",
        "*",
        "a@b",
        "a\n",
        &"x".repeat(65),
    ] {
        assert!(UserName::new(bad).is_err(), "{bad:?}");
    }
    assert!(UserName::new("Jürgen.o-1_x").is_ok());
}

#[test]
fn users_are_added_changed_deleted_and_kept_private() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("state/users");
    let mut file = UsersFile::load(&path).expect("a missing file has no users");
    file.add(name("alice"), "one").expect("add");
    file.add(name("bob"), "two").expect("add");
    assert!(matches!(file.add(name("ALICE"), "x"), Err(UsersError::Exists(_))));
    file.set_password(&name("Alice"), "three").expect("passwd");
    file.delete(&name("bob")).expect("del");
    assert!(matches!(file.delete(&name("bob")), Err(UsersError::Unknown(_))));

    assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(directory.path().join("state"))
            .expect("dir")
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert_eq!(
        fs::read_dir(directory.path().join("state")).expect("dir").count(),
        1,
        "no temporary file is left"
    );
    let users = Users::from_file(&path).expect("load");
    assert!(users.verify("ALICE", "three"));
    assert!(!users.verify("alice", "one"));
    assert!(!users.verify("bob", "two"));
    assert_eq!(users.nt_hash("alice"), Some(NtHash::of_password("three")));
    assert!(!fs::read_to_string(&path).expect("text").contains("three"));
}

#[test]
fn a_users_file_that_others_may_read_is_refused_with_the_remedy() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("users");
    fs::write(&path, "").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    let error = UsersFile::load(&path).expect_err("readable by others").to_string();
    assert!(error.contains("mode 0640 lets others in; run: chmod 0600"), "{error}");
}

#[test]
fn a_bad_line_is_named() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("users");
    for (text, problem) in [
        ("# ok\nalice\n", "users:2: expected name:hash"),
        ("alice:12\n", "users:1: the hash must have 32 hexadecimal digits"),
        ("al ice:00\n", "users:1: not a valid user name"),
        (
            "a:00000000000000000000000000000000\n\nA:00000000000000000000000000000000",
            "users:3: the user is already in the file",
        ),
    ] {
        crate::private_file::replace(&path, text.as_bytes()).expect("write");
        let error = UsersFile::load(&path).expect_err("bad line").to_string();
        assert!(error.ends_with(problem), "{error}");
    }
}

#[test]
fn a_change_of_the_file_counts_at_the_next_login_and_a_broken_file_changes_nothing() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("users");
    let users = Users::from_file(&path).expect("missing is empty");
    assert!(!users.verify("alice", "one"));
    UsersFile::load(&path)
        .and_then(|mut file| file.add(name("alice"), "one"))
        .expect("add");
    assert!(users.verify("alice", "one"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    assert!(users.verify("alice", "one"), "the last good accounts stay");
    crate::private_file::replace(&path, b"rubbish").expect("write");
    assert!(users.verify("alice", "one"), "the last good accounts stay");
    UsersFile::load(&path).expect_err("rubbish");
    fs::remove_file(&path).expect("remove");
    assert!(!users.verify("alice", "one"), "no file, no users");
}

#[test]
fn the_hash_of_no_account_opens_nothing() {
    let users = Users::in_memory([(name("alice"), "one".to_owned())]);
    assert!(!users.verify("nobody", ""));
    assert_eq!(users.nt_hash("nobody"), None);
    assert!(users.verify("alice", "one"));
}

#[test]
fn a_credential_file_is_followed_and_a_missing_one_opens_nothing() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("sam");
    let users = Users::from_sam(&path);
    assert!(!users.verify("alice", "Password"));
    let line = "alice:CORP::a4f49c406510bdcab6824ee7c30fd852:::\n";
    crate::private_file::replace(&path, line.as_bytes()).expect("write");
    assert!(users.verify("Alice", "Password"));
    assert_eq!(users.nt_hash("alice"), Some(NtHash::of_password("Password")));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    assert!(users.verify("alice", "Password"), "the last good accounts stay");
    fs::remove_file(&path).expect("remove");
    assert!(!users.verify("alice", "Password"), "no file, no users");
}
