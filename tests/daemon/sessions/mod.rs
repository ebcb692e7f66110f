//! What poolwatch leaves behind on a server, and what others can make it do there: nothing.

mod planning;
