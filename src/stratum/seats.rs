//! Seats of which there are so many, and for one address a part of them: whoever has one address cannot keep all others
//! out.

use super::knocks::of_one_owner;
use super::visitor::Visitor;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tracing::{debug, warn};

/// One address gets at most every fourth seat.
const MOST_FOR_ONE: usize = 4;

/// The seats. Clones share them.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    most: usize,
    /// Most for one address.
    part: usize,
    taken: usize,
    /// Of each address that is bound to its part.
    of_address: HashMap<IpAddr, usize>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    address: Option<IpAddr>,
}

/// There is no seat to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoSeat {
    /// For anybody.
    #[error("{0} are connected already")]
    AllTaken(usize),
    /// For this address.
    #[error("{0} are connected from its address already")]
    PartTaken(usize),
}

impl NoSeat {
    /// Writes it to the log, loudly only where it is not one address's fault.
    pub(crate) fn log(self, remote: SocketAddr) {
        match self {
            Self::AllTaken(_) => warn!(%remote, "miner refused: {self}"),
            Self::PartTaken(_) => debug!(%remote, "miner refused: {self}"),
        }
    }
}

impl Seats {
    /// So many, all free.
    pub fn new(most: usize) -> Self {
        let part = most.div_ceil(MOST_FOR_ONE);
        Self(Arc::new(Mutex::new(State { most, part, taken: 0, of_address: HashMap::new() })))
    }

    /// A seat, if there is one for this visitor.
    pub fn take(&self, visitor: &Visitor) -> Result<Seat, NoSeat> {
        let mut state = self.state();
        let State { most, part, taken, of_address } = &mut *state;
        if taken >= most {
            return Err(NoSeat::AllTaken(*taken));
        }
        let address = (!visitor.stands_for_many).then(|| of_one_owner(visitor.remote.ip().to_canonical()));
        if let Some(address) = address {
            let of_it = of_address.entry(address).or_default();
            if of_it >= part {
                return Err(NoSeat::PartTaken(*of_it));
            }
            *of_it += 1;
        }
        *taken += 1;
        Ok(Seat { seats: self.clone(), address })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        state.taken -= 1;
        if let Some(address) = self.address
            && let Some(of_it) = state.of_address.get_mut(&address)
        {
            *of_it -= 1;
            if *of_it == 0 {
                state.of_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::visitor::Protocol;
    use std::time::Instant;

    fn from(ip: &str) -> Visitor {
        let remote = SocketAddr::new(ip.parse().expect("an address"), 1);
        Visitor::new(remote, Protocol::Stratum, Instant::now())
    }

    fn take_all(seats: &Seats, visitor: &Visitor) -> (Vec<Seat>, NoSeat) {
        let mut taken = Vec::new();
        loop {
            match seats.take(visitor) {
                Ok(seat) => taken.push(seat),
                Err(none) => return (taken, none),
            }
        }
    }

    #[test]
    fn one_address_gets_every_fourth_seat_and_the_others_theirs() {
        let seats = Seats::new(10);
        let (first, none) = take_all(&seats, &from("192.0.2.1"));
        assert_eq!((first.len(), none), (3, NoSeat::PartTaken(3)));
        assert_eq!(take_all(&seats, &from("::ffff:192.0.2.1")).0.len(), 0, "the same address");
        let (second, _) = take_all(&seats, &from("2001:db8::1"));
        assert_eq!(second.len(), 3);
        assert_eq!(take_all(&seats, &from("2001:db8::2")).0.len(), 0, "of the same network");
        let (here, none) = take_all(&seats, &from("127.0.0.1"));
        assert_eq!((here.len(), none), (4, NoSeat::AllTaken(10)), "programs on this machine get all");
        assert_eq!(seats.taken(), 10);
        drop(first);
        assert_eq!(take_all(&seats, &from("192.0.2.2")).0.len(), 3);
        drop((second, here));
        assert_eq!(seats.taken(), 0);
        assert!(seats.state().of_address.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_proxy_that_does_not_say_for_whom_it_connects_gets_all() {
        let seats = Seats::new(10);
        let proxy = Visitor { stands_for_many: true, ..from("192.0.2.1") };
        assert_eq!(take_all(&seats, &proxy).0.len(), 10);
    }
}
