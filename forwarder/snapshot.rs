//! How a snapshot gets from control to workers: control publishes a pointer, workers take it up between bursts. Control
//! keeps every snapshot it published until no worker holds it any more, so it is control, never a worker, that frees one.

use crate::neigh::NextHops;
use crate::services::Services;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Control's end for one kind of snapshot.
pub struct Publisher<T> {
    current: Arc<ArcSwap<T>>,
    retired: Vec<Arc<T>>,
}

impl<T> Publisher<T> {
    /// Starts with this snapshot.
    pub fn new(first: Arc<T>) -> Self {
        Self { current: Arc::new(ArcSwap::new(first)), retired: Vec::new() }
    }

    /// From now on workers find this snapshot.
    pub fn publish(&mut self, next: Arc<T>) {
        self.retired.push(self.current.swap(next));
    }

    /// Frees the old snapshots that no worker holds any more. Returns how many are still held.
    pub fn reclaim(&mut self) -> usize {
        // A worker reaches a retired snapshot only by the reference it already holds: a count of 1 is ours alone.
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired.len()
    }

    /// The snapshot that workers find now.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }
}

/// A worker's end of both kinds.
#[derive(Clone)]
pub struct Snapshots {
    services: Arc<ArcSwap<Services>>,
    next_hops: Arc<ArcSwap<NextHops>>,
}

impl Snapshots {
    /// What these publish.
    pub fn of(services: &Publisher<Services>, next_hops: &Publisher<NextHops>) -> Self {
        Self { services: services.current.clone(), next_hops: next_hops.current.clone() }
    }

    /// The services, if there are newer ones than these.
    #[inline]
    pub fn newer_services(&self, held: &Arc<Services>) -> Option<Arc<Services>> {
        newer(&self.services, held)
    }

    /// The next hops, if there are newer ones than these.
    #[inline]
    pub fn newer_next_hops(&self, held: &Arc<NextHops>) -> Option<Arc<NextHops>> {
        newer(&self.next_hops, held)
    }
}

/// One load of a pointer that nobody writes between changes.
#[inline]
fn newer<T>(published: &ArcSwap<T>, held: &Arc<T>) -> Option<Arc<T>> {
    let guard = published.load();
    (!Arc::ptr_eq(&guard, held)).then(|| arc_swap::Guard::into_inner(guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_snapshot_is_kept_until_it_is_let_go() {
        let mut publisher = Publisher::new(Arc::new(1));
        let published = publisher.current.clone();
        let held = published.load_full();
        publisher.publish(Arc::new(2));
        assert_eq!(publisher.reclaim(), 1, "a worker still holds the first");
        let next = newer(&published, &held).unwrap();
        assert_eq!((*held, *next), (1, 2));
        assert!(newer(&published, &next).is_none());
        drop(held);
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(*publisher.current(), 2);
    }
}
