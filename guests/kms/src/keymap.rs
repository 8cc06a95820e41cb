//! evdev key codes to characters, US layout. Only what the tests type.

/// What key `code` types, if it types anything.
pub fn character(code: u16, shift: bool) -> Option<char> {
    let rows: [(u16, &str, &str); 5] = [
        (2, "1234567890-=", "!@#$%^&*()_+"),
        (16, "qwertyuiop[]", "QWERTYUIOP{}"),
        (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
        (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
        (57, " ", " "),
    ];
    rows.iter().find_map(|(first, plain, shifted)| {
        let index = usize::from(code.checked_sub(*first)?);
        if shift { shifted } else { plain }.chars().nth(index)
    })
}
