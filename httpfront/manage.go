package httpfront

// manageRoutes is the table of the management endpoints.
func manageRoutes() []route { return nil }
