//! What the tests share: starting the server, and clients that know nothing of its code.
