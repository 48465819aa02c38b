//! The ring: every operation that was sent with a packet id and is not yet acknowledged, in the
//! order of sending.
//!
//! PUBLISH, SUBSCRIBE and UNSUBSCRIBE share one space of ids. The slot at index i holds the id
//! `base + i` on the circle 1..=65535, so an id in use cannot be given out again and an
//! acknowledgement, in order or not, is found by subtraction.

use std::collections::VecDeque;

use super::queue::give_back;

/// Ids there are. Source: MQTT 3.1.1, section 2.3.1: 0 is not an id.
const IDS: u32 = 65_535;

/// See the module.
#[derive(Debug)]
pub struct Ring<T> {
    base: u16,
    /// `None`: acknowledged, or given up, behind one that is not.
    slots: VecDeque<Option<T>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            base: 1,
            slots: VecDeque::new(),
        }
    }
}

impl<T> Ring<T> {
    /// Slots between the oldest unacknowledged operation and the newest: what the window limits.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is unacknowledged.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The id that [`Ring::push`] will give.
    pub fn next_id(&self) -> u16 {
        id_after(self.base, self.slots.len())
    }

    /// Takes an operation that is being sent under [`Ring::next_id`].
    pub fn push(&mut self, operation: T) {
        self.slots.push_back(Some(operation));
    }

    /// The operation sent under `id`, if it is unacknowledged.
    pub fn get(&self, id: u16) -> Option<&T> {
        self.slots.get(self.index(id))?.as_ref()
    }

    /// The operation in slot `index`.
    pub fn slot_mut(&mut self, index: usize) -> Option<&mut T> {
        self.slots.get_mut(index)?.as_mut()
    }

    /// Puts `other` in the place of the first operation that `is_it` names.
    pub fn replace(&mut self, is_it: impl Fn(&T) -> bool, other: T) -> Option<T> {
        let mut slots = self.slots.iter_mut().flatten();
        let slot = slots.find(|operation| is_it(operation))?;
        Some(std::mem::replace(slot, other))
    }

    /// Takes the operation sent under `id` out: it is acknowledged. `None` if there is none.
    ///
    /// Returns how many slots went from the front with it, which moves every index.
    pub fn take(&mut self, id: u16) -> Option<(T, usize)> {
        self.take_at(self.index(id))
    }

    /// As [`Ring::take`], for the operation in slot `index`.
    pub fn take_at(&mut self, index: usize) -> Option<(T, usize)> {
        let operation = self.slots.get_mut(index)?.take()?;
        let before = self.slots.len();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = id_after(self.base, 1);
        }
        if self.slots.is_empty() && self.slots.capacity() > 64 {
            self.slots = VecDeque::new();
        }
        Some((operation, before - self.slots.len()))
    }

    /// The unacknowledged operations, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// The unacknowledged operations in the first `count` slots, oldest first.
    pub fn first(&self, count: usize) -> impl Iterator<Item = &T> {
        self.slots.iter().take(count).flatten()
    }

    /// Gives back the memory if it is empty.
    pub fn rest(&mut self) {
        give_back(&mut self.slots);
    }

    /// Takes everything out, oldest first, and never gives these ids again before the circle has
    /// been walked.
    pub fn drain(&mut self) -> impl DoubleEndedIterator<Item = T> + use<T> {
        self.base = self.next_id();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }

    /// Takes out each operation that `leaves` names, oldest first.
    pub fn extract(&mut self, leaves: impl Fn(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(&leaves) {
                out.extend(slot.take());
            }
        }
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = id_after(self.base, 1);
        }
        out
    }

    /// Distance from the base to `id` on the circle.
    fn index(&self, id: u16) -> usize {
        let (id, base) = (u32::from(id), u32::from(self.base));
        if id == 0 {
            return usize::MAX;
        }
        ((id + IDS - base) % IDS) as usize
    }
}

fn id_after(base: u16, distance: usize) -> u16 {
    let distance = (distance % IDS as usize) as u32;
    ((u32::from(base) - 1 + distance) % IDS + 1) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_operation_is_replaced_under_its_id() {
        let mut ring = Ring::default();
        (1..=3).for_each(|number| ring.push(number));
        assert_eq!(ring.replace(|&number| number == 2, 20), Some(2));
        assert_eq!(ring.replace(|&number| number == 2, 30), None);
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [1, 20, 3]);
        assert_eq!(ring.get(2), Some(&20));
        assert_eq!(ring.slot_mut(1), Some(&mut 20));
        assert_eq!(ring.slot_mut(3), None);
        assert_eq!((ring.get(4), ring.get(0)), (None, None));
    }

    #[test]
    fn what_is_taken_out_frees_ids_from_the_front_alone() {
        let mut ring = Ring::default();
        (1..=4).for_each(|number| ring.push(number));
        assert_eq!(ring.extract(|&number| number % 2 == 0), [2, 4]);
        assert_eq!((ring.len(), ring.next_id()), (4, 5), "1 is still there");
        assert_eq!(ring.take(1), Some((1, 2)));
        assert_eq!(ring.extract(|_| true), [3]);
        assert!(ring.is_empty());
        assert_eq!(ring.next_id(), 5);
        ring.push(5);
        assert_eq!(ring.drain().collect::<Vec<_>>(), [5]);
        assert_eq!((ring.next_id(), ring.is_empty()), (6, true));
    }

    #[test]
    fn a_ring_that_rests_holds_room_for_what_it_has_alone() {
        let mut ring = Ring::default();
        ring.push(1);
        ring.rest();
        assert_eq!(ring.take(1), Some((1, 1)));
        ring.rest();
        assert_eq!((ring.slots.capacity(), ring.next_id()), (0, 2));
    }

    #[test]
    fn ids_start_at_one_and_wrap_from_65535_to_one() {
        let mut ring = Ring::default();
        for expected in (1..=u16::MAX).chain(1..=3) {
            assert_eq!(ring.next_id(), expected);
            ring.push(());
            assert_eq!(ring.take(expected), Some(((), 1)));
        }
    }

    #[test]
    fn an_id_that_is_withheld_is_never_given_again() {
        let mut ring = Ring::default();
        let withheld = ring.next_id();
        ring.push("withheld");
        for _ in 0..16_384 {
            let id = ring.next_id();
            assert_ne!(id, withheld);
            ring.push("other");
            assert!(ring.take(id).is_some());
        }
        assert_eq!(ring.get(withheld), Some(&"withheld"));
    }

    #[test]
    fn id_zero_and_strangers_find_nothing() {
        let mut ring = Ring::default();
        ring.push(());
        for id in [0, 2, 3, u16::MAX] {
            assert_eq!(ring.take(id), None, "id {id}");
        }
        assert_eq!(ring.take(1), Some(((), 1)));
        assert_eq!(ring.take(1), None, "a second acknowledgement");
    }

    proptest! {
        /// Against a list of (id, value): acknowledgements in any order find what was sent.
        #[test]
        fn acknowledgements_in_any_order_find_their_operation(
            start in 0..70_000_u32,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..300),
        ) {
            let mut ring = Ring::default();
            for _ in 0..start {
                let id = ring.next_id();
                ring.push(0);
                ring.take(id);
            }
            let mut model: Vec<(u16, u32)> = Vec::new();
            let mut number = 0;
            for (send, which) in steps {
                if send || model.is_empty() {
                    let id = ring.next_id();
                    prop_assert!(id != 0 && model.iter().all(|&(used, _)| used != id));
                    number += 1;
                    ring.push(number);
                    model.push((id, number));
                } else {
                    let (id, value) = model.remove(which.index(model.len()));
                    prop_assert_eq!(ring.take(id).map(|(found, _)| found), Some(value));
                }
                let left: Vec<u32> = ring.iter().copied().collect();
                let expected: Vec<u32> = model.iter().map(|&(_, value)| value).collect();
                prop_assert_eq!(left, expected);
            }
        }
    }
}
