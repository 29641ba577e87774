//! What people see.
use super::*;
use crate::mock;
#[test]
fn look() {
    println!("{}", services(&mock::services(), None));
    println!("{}", services(&mock::services(), Some(80)));
    println!("{}", ConnTable::default().lines(&mock::conns()));
    println!("{}", workers(&mock::workers()));
    println!("{}", ports(&mock::ports()));
    println!("{}", drops(&mock::drops(), None));
    println!("{}", drops(&mock::drops(), Some(80)));
    println!("{}", drops(&mock::drops(), Some(60)));
    println!("{}", neighbors(&mock::neighbors()));
    let mut many = mock::services();
    many.services = many.services.iter().cycle().take(10_000).cloned().collect();
    let t = std::time::Instant::now();
    println!("{} {:?}", services(&many, None).len(), t.elapsed());
}
