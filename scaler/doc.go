// Package scaler turns observations and a forecast into a replica count and the reasons for it.
//
// Everything here is pure: a Decision depends on the Config, the observations so far and the forecast alone, so that a
// replay of the log gives the same decisions bit for bit. Nothing here does I/O, starts a goroutine, logs or reads a clock.
package scaler
