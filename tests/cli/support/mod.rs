//! What the tests of the program share.

pub mod checkpoint;
pub mod hub;
pub mod hub_server;
pub mod llama;
pub mod pickle;
pub mod program;
pub mod scans;
pub mod web;

/// Makes a test of each of the names for each of the checks, which are functions that take a name: `check::name`. Another test
/// finds names that are missing in this list or too many.
macro_rules! tests_of_each {
    ($there:expr, $names:tt, $($check:ident),+) => {
        $(mod $check {
            $crate::support::tests_of_each! { @ $check $names }
        })+

        #[test]
        fn everything_that_is_there_has_its_tests() {
            assert_eq!($there, $crate::support::tests_of_each! { @ $names });
        }
    };
    (@ $check:ident [$($name:ident)*]) => {
        $(#[test]
        fn $name() {
            super::$check(stringify!($name));
        })*
    };
    (@ [$($name:ident)*]) => { [$(stringify!($name)),*] };
}
pub(crate) use tests_of_each;
