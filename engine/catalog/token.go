package catalog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
)

// NewToken returns a token of 512 random bits, 88 characters of base64url.
func NewToken() string {
	var b [64]byte
	rand.Read(b[:])
	return base64.URLEncoding.EncodeToString(b[:])
}

// HashToken is how a token is kept. Tokens have too many bits to guess, so a fast
// hash without salt serves.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// fingerprint stands for a credential in the cache. It is a keyed universal hash:
// for any two credentials the chance that they share one is below 2^-100 over the
// choice of the keys, which never leave the process. So equal fingerprints mean
// equal credentials, the plain ones need not be kept, and comparing fingerprints
// tells a caller nothing.
type fingerprint [2]uint64

// fingerprintKeys are two independent points at which credentials, read as
// polynomials over the field of 2^61-1 elements, are evaluated.
type fingerprintKeys [2]uint64

const mersenne61 = 1<<61 - 1

func newFingerprintKeys() fingerprintKeys {
	var keys fingerprintKeys
	for i := range keys {
		for keys[i] == 0 || keys[i] >= mersenne61 {
			var b [8]byte
			rand.Read(b[:])
			keys[i] = binary.LittleEndian.Uint64(b[:]) & mersenne61
		}
	}
	return keys
}

// of is the fingerprint of a user name and secret. The lengths go in first, so
// that no two pairs make the same polynomial.
func (k *fingerprintKeys) of(kind credentialKind, user, secret string) fingerprint {
	fp := fingerprint{uint64(kind)<<48 | uint64(len(user)+1), uint64(kind)<<48 | uint64(len(user)+1)}
	k.add(&fp, uint64(len(secret)+1))
	k.addText(&fp, user)
	k.addText(&fp, secret)
	return fp
}

// add goes on with a word below 2^56.
func (k *fingerprintKeys) add(fp *fingerprint, word uint64) {
	fp[0] = mulMod61(fp[0], k[0]) + word
	fp[1] = mulMod61(fp[1], k[1]) + word
}

// addText goes on with s, seven bytes to a word.
func (k *fingerprintKeys) addText(fp *fingerprint, s string) {
	const mask = 1<<56 - 1
	for ; len(s) >= 8; s = s[7:] {
		k.add(fp, mask&(uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|
			uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56))
	}
	for len(s) > 0 {
		var word uint64
		n := min(7, len(s))
		for i := range n {
			word |= uint64(s[i]) << (8 * i)
		}
		k.add(fp, word)
		s = s[n:]
	}
}

// mulMod61 is a*b mod 2^61-1, for a below 2^62 and b below 2^61.
func mulMod61(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	r := lo&mersenne61 + (hi<<3 | lo>>61)
	r = r&mersenne61 + r>>61
	if r >= mersenne61 {
		r -= mersenne61
	}
	return r
}
