//! Which handlers a message goes to, and what to subscribe again after a connection.

use rustc_hash::FxHashMap;

use crate::proto::text::is_plain_topic;
use crate::proto::trie::Trie;
use crate::{Qos, TopicFilter};

/// One subscription: where its messages go and what the platform knows of it.
#[derive(Clone, Debug)]
pub struct Route<H> {
    /// The QoS asked for.
    pub qos: Qos,
    /// What the platform knows of it.
    pub state: RouteState,
    /// Where matching messages go.
    pub handler: H,
}

/// What the platform knows of a subscription.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RouteState {
    /// Nothing, or not what is wanted now: it is asked for after the next CONNACK.
    #[default]
    Wanted,
    /// It granted it in its present session.
    Granted,
    /// It refused it: it is not asked for again by itself.
    Refused,
}

/// The handlers of one message. Most have one, and cost no allocation.
#[derive(Clone, Debug, Default)]
pub enum Handlers<H> {
    /// Nobody asked for it.
    #[default]
    None,
    /// One subscription did.
    One(H),
    /// Several did, the oldest first.
    Many(Vec<H>),
}

impl<H> Handlers<H> {
    /// Each of them.
    pub fn as_slice(&self) -> &[H] {
        match self {
            Self::None => &[],
            Self::One(handler) => std::slice::from_ref(handler),
            Self::Many(handlers) => handlers,
        }
    }
}

/// The subscriptions of one client, in the order in which they were first made.
///
/// Finding the handlers of a topic costs one hash lookup for all filters without wildcards, and for
/// the others time in proportion to the branches that fit the topic, not to their number.
#[derive(Clone, Debug)]
pub struct Routes<H: Clone> {
    /// Ordered by the age of the route, which is also its name in the other two.
    routes: Vec<(u64, TopicFilter, Route<H>)>,
    by_filter: FxHashMap<String, u64>,
    wildcards: Trie,
    next_age: u64,
    /// Matching routes of the message at hand; kept for its memory.
    found: Vec<u64>,
}

impl<H: Clone> Default for Routes<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Clone> Routes<H> {
    /// No routes.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            by_filter: FxHashMap::default(),
            wildcards: Trie::new(),
            next_age: 0,
            found: Vec::new(),
        }
    }

    /// Number of routes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "it is compared with a limit; public to fuzz/ alone"
    )]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Sends messages that match `filter` to `handler`.
    ///
    /// A filter that is there already keeps its place; its QoS and handler are
    /// replaced, and the handler replaced is returned.
    pub fn insert(&mut self, filter: TopicFilter, qos: Qos, handler: H) -> Option<H> {
        if let Some(route) = self.get_mut(filter.as_str()) {
            route.qos = qos;
            route.state = RouteState::Wanted;
            return Some(std::mem::replace(&mut route.handler, handler));
        }
        let age = self.next_age;
        self.next_age += 1;
        if !filter.is_literal() {
            self.wildcards.insert(filter.as_str(), age);
        }
        self.by_filter.insert(filter.as_str().to_owned(), age);
        let route = Route {
            qos,
            state: RouteState::Wanted,
            handler,
        };
        self.routes.push((age, filter, route));
        None
    }

    /// Removes the route of `filter` and returns its handler.
    pub fn remove(&mut self, filter: &str) -> Option<H> {
        let age = self.by_filter.remove(filter)?;
        let (_, filter, route) = self.routes.remove(self.index(age)?);
        if self.routes.is_empty() {
            self.routes = Vec::new();
        }
        if !filter.is_literal() {
            self.wildcards.remove(filter.as_str());
        }
        Some(route.handler)
    }

    /// The route of exactly this filter.
    pub fn get(&self, filter: &str) -> Option<&Route<H>> {
        self.by_age(*self.by_filter.get(filter)?)
    }

    fn get_mut(&mut self, filter: &str) -> Option<&mut Route<H>> {
        let index = self.index(*self.by_filter.get(filter)?)?;
        self.routes.get_mut(index).map(|(_, _, route)| route)
    }

    fn by_age(&self, age: u64) -> Option<&Route<H>> {
        let (_, _, route) = self.routes.get(self.index(age)?)?;
        Some(route)
    }

    fn index(&self, age: u64) -> Option<usize> {
        self.routes.binary_search_by_key(&age, |route| route.0).ok()
    }

    /// The handlers of all routes that match `topic`, oldest route first.
    ///
    /// Source: MQTT 3.1.1, 4.7.
    pub fn matches(&mut self, topic: &str) -> Handlers<H> {
        // A topic with wildcard characters breaks MQTT, but must not find a route by its filter.
        let is_plain = is_plain_topic(topic.as_bytes());
        let literal = if !is_plain && topic.contains(['+', '#']) {
            None
        } else {
            self.by_filter.get(topic).copied()
        };
        self.found.clear();
        self.wildcards.matches(topic, &mut self.found);
        self.found.extend(literal);
        match *self.found {
            [] => Handlers::None,
            [age] => self.handler(age).map_or(Handlers::None, Handlers::One),
            _ => {
                self.found.sort_unstable();
                let handlers = self.found.iter().filter_map(|&age| self.handler(age));
                Handlers::Many(handlers.collect())
            }
        }
    }

    fn handler(&self, age: u64) -> Option<H> {
        self.by_age(age).map(|route| route.handler.clone())
    }

    /// All routes, oldest first: the order in which to subscribe again.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicFilter, &Route<H>)> {
        self.routes.iter().map(|(_, filter, route)| (filter, route))
    }

    /// Records what the platform knows of `filter`.
    pub fn set_state(&mut self, filter: &str, state: RouteState) {
        if let Some(route) = self.get_mut(filter) {
            route.state = state;
        }
    }

    /// The platform's session is gone, and what it granted with it.
    pub fn forget_granted(&mut self) {
        for (_, _, route) in &mut self.routes {
            if route.state == RouteState::Granted {
                route.state = RouteState::Wanted;
            }
        }
    }

    /// Removes every route and returns the handlers, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = H> + use<H> {
        let routes = std::mem::take(self).routes;
        routes.into_iter().map(|(_, _, route)| route.handler)
    }
}

#[cfg(test)]
mod tests;
