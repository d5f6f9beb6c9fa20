//! What every service needs: configuration reload, logging, signals, the metrics page.
