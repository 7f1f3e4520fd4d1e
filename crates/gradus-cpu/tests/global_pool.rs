//! The pool of the process is started once; asking for another size afterwards is an error that tells both.

use gradus_cpu::Pool;

#[test]
fn a_second_size_is_refused() {
    let pool = Pool::start_global(2).unwrap();
    assert_eq!(pool.threads(), 2);
    assert!(std::ptr::eq(pool, Pool::global()));
    assert!(std::ptr::eq(pool, Pool::start_global(2).unwrap()), "the same size again is no error");
    for asked in [0, 1, 3, 64] {
        let message = Pool::start_global(asked).unwrap_err().to_string();
        assert!(message.contains('2') && message.contains(&asked.to_string()), "{message}");
    }
    assert_eq!(Pool::global().threads(), 2);
}
