package catalog

import (
	"encoding/json"
	"testing"
)

func TestPermissionCovers(t *testing.T) {
	for _, tc := range []struct {
		p, q Permission
		want bool
	}{
		{Permission{Write, Buckets, 0, 0}, Permission{Write, Buckets, 1, 2}, true},
		{Permission{Write, Buckets, 0, 0}, Permission{Read, Buckets, 1, 2}, false},
		{Permission{Write, Buckets, 0, 0}, Permission{Write, Tasks, 1, 2}, false},
		{Permission{Write, Buckets, 0, 2}, Permission{Write, Buckets, 1, 2}, true},
		{Permission{Write, Buckets, 0, 2}, Permission{Write, Buckets, 1, 3}, false},
		{Permission{Write, Buckets, 0, 2}, Permission{Write, Buckets, 0, 2}, true},
		{Permission{Write, Buckets, 0, 2}, Permission{Write, Buckets, 0, 0}, false},
		{Permission{Write, Buckets, 1, 2}, Permission{Write, Buckets, 1, 2}, true},
		{Permission{Write, Buckets, 1, 2}, Permission{Write, Buckets, 0, 2}, false},
		{Permission{Write, Buckets, 1, 2}, Permission{Write, Buckets, 3, 2}, false},
		{Permission{Write, Buckets, 1, 2}, Permission{Write, Buckets, 1, 3}, false},
		{Permission{Write, Buckets, 1, 0}, Permission{Write, Buckets, 1, 3}, true},
		{Permission{Read, Orgs, 0, 0}, Permission{Read, Orgs, 1, 0}, true},
		{Permission{Read, Orgs, 1, 0}, Permission{Read, Orgs, 1, 0}, true},
		{Permission{Read, Orgs, 0, 1}, Permission{Read, Orgs, 1, 0}, true},
		{Permission{Read, Orgs, 0, 2}, Permission{Read, Orgs, 1, 0}, false},
		{Permission{Read, Orgs, 1, 0}, Permission{Read, Orgs, 0, 0}, false},
	} {
		if got := tc.p.Covers(tc.q); got != tc.want {
			t.Errorf("%s covers %s: %v, want %v", tc.p, tc.q, got, tc.want)
		}
	}
}

func TestPermissionText(t *testing.T) {
	for p, want := range map[Permission]string{
		{Write, Authorizations, 0, 1}: "write:orgs/0000000000000001/authorizations",
		{Read, Buckets, 2, 1}:         "read:orgs/0000000000000001/buckets/0000000000000002",
		{Read, Buckets, 0, 0}:         "read:buckets",
		{Write, Users, 2, 0}:          "write:users/0000000000000002",
		{Write, Orgs, 2, 0}:           "write:orgs/0000000000000002",
		{Write, Orgs, 0, 2}:           "write:orgs/0000000000000002",
		{Write, DBRPs, 0, 1}:          "write:orgs/0000000000000001/dbrp",
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPermissionsSurviveJSON(t *testing.T) {
	want := append(OperatorPermissions(), MemberPermissions(7)...)
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got []Permission
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(OperatorPermissions()) != 44 {
		t.Fatalf("%d permissions, want %d; an operator has %d, want 44", len(got), len(want), len(OperatorPermissions()))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	for _, bad := range []string{`{"a":"x","t":"buckets"}`, `{"a":"read","t":""}`} {
		if json.Unmarshal([]byte(bad), new(Permission)) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
